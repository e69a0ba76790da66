#!/bin/sh
# Brings what building ratchet needs and pip cannot bring: libzmq's header, a C compiler, Python's
# headers and, where the system splits it off, Python's venv. Does nothing where all are there.
#
#   PYTHON               the Python to build for (default: python3)
#   RATCHET_ZMQ_PREFIX   a libzmq of your own; then none is installed, only looked for
#   RATCHET_ZMQ_STATIC   the same, for static archives
set -eu

python=${PYTHON:-python3}
own_prefix=${RATCHET_ZMQ_STATIC:-${RATCHET_ZMQ_PREFIX:-}}

# The places where setup.py looks, too.
have_zmq_h() {
    if [ -n "$own_prefix" ]; then
        test -f "$own_prefix/include/zmq.h"
        return
    fi
    for include in \
        "${CONDA_PREFIX:-/usr}/include" \
        "$(${PKG_CONFIG:-pkg-config} --variable=includedir libzmq 2>/dev/null || true)" \
        "${HOMEBREW_PREFIX:-/usr}/include" \
        /opt/homebrew/include /usr/local/include /opt/local/include /usr/include
    do
        if [ -f "$include/zmq.h" ]; then return 0; fi
    done
    return 1
}

have_compiler() {
    # Tries it: macOS has a cc that only asks to install one, Debian a gcc without libc's headers.
    echo '#include <stdio.h>' | ${CC:-cc} -E - >/dev/null 2>&1
}

have_python_h() {
    "$python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

have_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

missing() {
    list=
    have_zmq_h || list="$list, libzmq's header zmq.h"
    have_compiler || list="$list, a C compiler"
    have_python_h || list="$list, the headers of $python"
    have_venv || list="$list, the venv module of $python"
    echo "${list#, }"
}

fail() {
    echo "tools/get_libzmq.sh: $1" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python here: install Python 3.11 or later"

what=$(missing)
if [ -z "$what" ]; then exit 0; fi
if [ -n "$own_prefix" ] && ! have_zmq_h; then
    fail "$own_prefix/include/zmq.h does not exist: RATCHET_ZMQ_PREFIX and RATCHET_ZMQ_STATIC name the folder above include/"
fi
echo "Missing here: $what"

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# Everything in one line, though a part may be there already: package managers skip that themselves.
# "prepare" may fail, for it is not needed everywhere; only the outcome of "install" counts.
prepare=
if command -v apt-get >/dev/null; then
    prepare="apt-get update -q"
    install="env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends libzmq3-dev gcc libc6-dev"
    have_python_h || install="$install python$version-dev"
    have_venv || install="$install python$version-venv"
elif command -v dnf >/dev/null; then
    # Fedora has zeromq itself; RHEL and its kin have it in EPEL.
    grep -q '^ID="*fedora' /etc/os-release || prepare="dnf install -y epel-release"
    install="dnf install -y zeromq-devel gcc"
    have_python_h || install="$install python3-devel"
elif command -v apk >/dev/null; then
    install="apk add zeromq-dev gcc musl-dev"
    have_python_h || install="$install python3-dev"
elif command -v pacman >/dev/null; then
    install="pacman -S --noconfirm --needed zeromq gcc"
elif command -v brew >/dev/null; then
    have_compiler || fail "no C compiler: run 'xcode-select --install' first"
    install="brew install zeromq"
else
    fail "no apt-get, dnf, apk, pacman or brew here: install $what by hand, then try again"
fi

# brew refuses root; the others need it.
sudo=
if [ "$(id -u)" != 0 ] && [ "${install%% *}" != brew ]; then
    command -v sudo >/dev/null || fail "as root, run: $install"
    sudo=sudo
fi

run() {
    echo "+ $*"
    "$@"
}
# shellcheck disable=SC2086 # these are lists of words
{
    if [ -n "$prepare" ]; then run $sudo $prepare || true; fi
    run $sudo $install || fail "that failed; still needed: $what"
}

what=$(missing)
if [ -n "$what" ]; then fail "still missing after '$install': $what"; fi
