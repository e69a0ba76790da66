#!/bin/sh
# Builds ratchet and runs its tests on other Debians with libzmq 4.3.5, in chroots: on Debian 13
# with its own Python, and on Debian sid with those that no stable Debian has yet. Needs root,
# debootstrap and the network; the host stays as it is, but for the chroots' folders (about 1 GB
# each, used again by the next run).
#
#   tools/matrix.sh [ARGUMENT OF PYTEST...]
#
#   RATCHET_TRIXIE    Debian 13's folder (default: /var/tmp/ratchet-trixie)
#   RATCHET_SID       Debian sid's (default: /var/tmp/ratchet-sid; remove it for a newer sid)
#   RATCHET_PYTHONS   versions to test (default: "3.13 3.14 3.15"; 3.13 is Debian 13's)
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
failed=

fail() {
    echo "tools/matrix.sh: $1" >&2
    exit 1
}

# Make the chroot if it is not there, and run the tests in it: suite, folder, versions, arguments.
test_on() {
    suite=$1 chroot=$2 versions=$3
    shift 3
    if [ ! -f "$chroot/.complete" ]; then
        command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
        packages=gcc,libc6-dev,libzmq3-dev,ca-certificates
        for version in $versions; do
            packages=$packages,python$version-venv,python$version-dev
        done
        rm -rf "$chroot"
        debootstrap --variant=minbase --include="$packages" "$suite" "$chroot" >"$chroot.log" 2>&1 ||
            fail "debootstrap failed: see $chroot.log"
        touch "$chroot/.complete"
    fi
    # In a mount namespace of its own: whatever happens, no mount is left, and removing the
    # chroot's folder can reach nothing outside it.
    unshare --mount --pid --fork "$0" --inside "$chroot" "$versions" "$@" ||
        failed="$failed $suite"
}

if [ "${1:-}" != --inside ]; then
    [ "$(uname)" = Linux ] || fail "a chroot of Debian needs Linux"
    [ "$(id -u)" = 0 ] || fail "a chroot needs root: run it with sudo"
    command -v unshare >/dev/null || fail "unshare is missing: install util-linux"
    own=
    newer=
    for version in ${RATCHET_PYTHONS:-3.13 3.14 3.15}; do
        if [ "$version" = 3.13 ]; then own=$version; else newer="$newer $version"; fi
    done
    if [ -n "$own" ]; then
        test_on trixie "${RATCHET_TRIXIE:-/var/tmp/ratchet-trixie}" "$own" "$@"
    fi
    if [ -n "$newer" ]; then
        test_on sid "${RATCHET_SID:-/var/tmp/ratchet-sid}" "$newer" "$@"
    fi
    [ -z "$failed" ] || fail "failed on Debian$failed"
    exit 0
fi
chroot=$2
versions=$3
shift 3

mount --make-rprivate /
mount --rbind /dev "$chroot/dev"
mount -t proc proc "$chroot/proc"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    if [ -f "$file" ]; then cp -L "$file" "$chroot$file"; fi
done

for version in $versions; do
    work=/work-$version
    rm -rf "${chroot:?}$work"
    mkdir "$chroot$work"
    (cd "$source" && tar --exclude='./.*' --exclude=./build --exclude=./dist --exclude='*.so' \
        --exclude=__pycache__ -cf - .) | tar -xf - -C "$chroot$work"
    # The sources go when they are built: what is tested is what was installed.
    # shellcheck disable=SC2016 # expanded inside
    chroot "$chroot" env -u PIP_FIND_LINKS HOME=/root LC_ALL=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -euc '
        cd "$1"
        python=$2
        shift 2
        "$python" -m venv venv
        venv/bin/pip --quiet install --upgrade "pip>=25.1"
        venv/bin/pip --quiet install .
        rm -r ratchet
        venv/bin/pip --quiet install --group test
        venv/bin/python -c "import ratchet, sys; print(sys.version, ratchet.libzmq_version())"
        venv/bin/python -m pytest -n auto -p no:cacheprovider "$@"
        ' matrix "$work" "python$version" "$@" </dev/null || failed="$failed $version"
done
[ -z "$failed" ] || fail "failed on Python$failed"
