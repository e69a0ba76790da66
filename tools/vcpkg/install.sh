#!/bin/sh
# Brings the static libzmq of the wheels to Linux and macOS by vcpkg, at the version in vcpkg.json.
#
#   tools/vcpkg/install.sh ROOT      then RATCHET_ZMQ_STATIC=ROOT/here
#
# For release runners and their containers. Windows has vcpkg there already (pyproject.toml).
set -eu

root=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$root"

case $(uname -s) in
Linux)
    # vcpkg has its own tools for few Linuxes only.
    export VCPKG_FORCE_SYSTEM_BINARIES=1
    if command -v apk >/dev/null; then
        apk add bash build-base curl git linux-headers perl pkgconf tar unzip zip \
            autoconf automake libtool autoconf-archive
    elif command -v dnf >/dev/null; then
        dnf -y install curl git perl pkgconf tar unzip zip autoconf automake libtool
    fi
    if [ -d /opt/python/cp313-cp313 ]; then
        /opt/python/cp313-cp313/bin/python -m venv "$root/tools"
        "$root/tools/bin/python" -m pip install --quiet cmake ninja
        PATH=$root/tools/bin:$PATH
    fi
    system=linux
    ;;
Darwin)
    brew install autoconf automake libtool autoconf-archive pkgconf
    system=osx
    ;;
*)
    echo "tools/vcpkg/install.sh: for Linux and macOS" >&2
    exit 1
    ;;
esac
case $(uname -m) in
x86_64) triplet=x64-$system ;;
*) triplet=arm64-$system ;;
esac

# The commit that vcpkg.json names, and no other: one entry of it and of the ports.
baseline=$(sed -n 's/.*"builtin-baseline": "\([0-9a-f]*\)".*/\1/p' "$here/vcpkg.json")
git init --quiet "$root/source"
git -C "$root/source" fetch --quiet --depth 1 https://github.com/microsoft/vcpkg "$baseline"
git -C "$root/source" checkout --quiet FETCH_HEAD
sh "$root/source/bootstrap-vcpkg.sh" -disableMetrics
"$root/source/vcpkg" install --triplet="$triplet" --host-triplet="$triplet" \
    --overlay-triplets="$here" --x-manifest-root="$here" --x-install-root="$root"
ln -sfn "$triplet" "$root/here"
