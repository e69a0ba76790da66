#!/bin/sh
# Runs the tests with what watches memory: "asan" is gcc's address and undefined-behaviour
# sanitizers, "memcheck" is valgrind. More arguments go to pytest.
#
# Works in a copy, build/sanitize/asan or /memcheck, with an environment of its own (VENV, made by
# the same Makefile), so the normal build stays as it is. Both are built with RATCHET_DEBUG=1, so
# each test must also leave no socket, message, waiter, buffer or reference (ratchet/_debug.pxi).
set -eu

tool=$1
shift
cd "$(dirname "$0")/.."
root=$PWD
venv=$root/.venv-$tool
copy=$root/build/sanitize/$tool
reports=$copy/reports

fail() {
    echo "tools/sanitize.sh: $1" >&2
    exit 1
}

case $tool in
asan)
    sanitizers="-fsanitize=address,undefined,float-cast-overflow"
    CFLAGS="-O1 -g -fno-omit-frame-pointer $sanitizers"
    LDFLAGS=$sanitizers
    ;;
memcheck)
    command -v valgrind >/dev/null || fail "this needs valgrind (apt-get install valgrind)"
    CFLAGS="-O1 -g"
    LDFLAGS=
    ;;
*) fail "asan or memcheck, not $tool" ;;
esac

rm -rf "$copy" "$venv/.ratchet"
mkdir -p "$reports"
cp -Rp Makefile ./*.md LICENSE MANIFEST.in setup.py pyproject.toml \
    ratchet tests tools torture docs examples benchmarks "$copy"
rm -f "$copy"/ratchet/*.so
cd "$copy"
RATCHET_DEBUG=1 CFLAGS="$CFLAGS" LDFLAGS="$LDFLAGS" \
    make --no-print-directory PYTHON="${PYTHON:-python3}" VENV="$venv" "$venv/.ratchet" "$venv/.test"
python=$venv/bin/python

export PYTHONMALLOC=malloc  # else Python's own pools hide what is read after it was freed
if [ "$tool" = asan ]; then
    # libstdc++ must be there before the sanitizer looks for what throws: greenlet and libzmq do.
    LD_PRELOAD=
    for library in libasan.so libubsan.so libstdc++.so.6; do
        path=$("${CC:-gcc}" -print-file-name=$library)
        test -e "$path" || fail "gcc has no $library here"
        LD_PRELOAD="$LD_PRELOAD $path"
    done
    export LD_PRELOAD
    # Leaks: Python itself leaves much at its exit; tests/memory/test_leaks.py looks for ours.
    # A file for each process that reports: pytest has stderr.
    # A peer that announces a part of 2^62 bytes has libzmq ask for them; it must get NULL, as it
    # does without sanitizers, and a warning of that is no finding.
    ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0:detect_stack_use_after_return=0
    # What is freed is kept for a while, to see who still reads it: by default up to 256 MiB, which
    # the soak takes for a leak.
    export ASAN_OPTIONS="$ASAN_OPTIONS:quarantine_size_mb=16:log_path=$reports/asan"
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path="$reports/ubsan"
fi
echo "== the tests under $tool, built with $CFLAGS =="
"$python" - "$tool" <<'END'
import sys
from pathlib import Path
from ratchet import _zmq
assert _zmq.counts() is not None, "not built with RATCHET_DEBUG=1"
assert sys.argv[1] != "asan" or "libasan" in Path("/proc/self/maps").read_text()
END
status=0
if [ "$tool" = asan ]; then
    # gcc's sanitizer is not made ready for a fork: a child of a process whose other threads were
    # just asking for memory may hang in it (3 of 160 forks, without ratchet). So what failed runs
    # once more; what the sanitizers report counts in any case.
    "$python" -m pytest -o timeout=300 "$@" ||
        "$python" -m pytest -o timeout=300 --last-failed "$@" || status=$?
    unset LD_PRELOAD
    if cat "$reports"/* 2>/dev/null | grep -v "WARNING: AddressSanitizer failed to allocate"; then
        fail "see above what the sanitizers found"
    fi
else
    if [ $# = 0 ]; then set -- tests/memory/test_leaks.py; fi  # every call, in every kind of thread
    export RATCHET_CYCLES=200  # forty times slower; here each single block that is lost is told
    valgrind --log-file="$reports/memcheck" --num-callers=40 --suppressions=tools/memcheck.supp \
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        "$python" -m pytest -o timeout=600 -p no:cacheprovider "$@" || status=$?
    tail -n 12 "$reports/memcheck"
    # One paragraph an error; those without ratchet in their stack are Python's or libzmq's own.
    sed 's/^==[0-9]*== *//' "$reports/memcheck" | awk -v RS= '/__pyx_|ratchet_/ { print $0 "\n"; n++ } END { exit n > 0 }' ||
        fail "see above what memcheck found"
fi
exit $status
