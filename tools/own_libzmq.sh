#!/bin/sh
# Builds the libzmq of the wheels from the distribution's source package: static, with its draft
# options and with CURVE, ready to be optimised together with the extension.
#
#   tools/own_libzmq.sh PREFIX      makes PREFIX/include, lib and share; then RATCHET_ZMQ_STATIC=PREFIX
#
# For Debian and its kin. The source comes through a configuration of apt that lies in PREFIX/source:
# that of the system is only read. Elsewhere tools/vcpkg/install.sh makes the same from vcpkg.
set -eu

fail() {
    echo "tools/own_libzmq.sh: $1" >&2
    exit 1
}

[ $# = 1 ] || fail "say where to put it"
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
work=$prefix/source
tools="apt-get cmake make c++ patch dpkg-source"

command -v apt-get >/dev/null || fail "no apt-get here: use tools/vcpkg/install.sh"
sodium=$(find /usr/lib -name libsodium.a 2>/dev/null | head -n 1)
missing=
for tool in $tools; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
if [ -n "$missing" ] || [ -z "$sodium" ]; then
    install="apt-get install -q -y --no-install-recommends cmake make g++ patch dpkg-dev libsodium-dev"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "as root, run: $install"
        sudo=sudo
    fi
    echo "+ $sudo $install"
    $sudo apt-get update -q || true
    # shellcheck disable=SC2086 # a list of words
    $sudo env DEBIAN_FRONTEND=noninteractive $install || fail "that failed"
    sodium=$(find /usr/lib -name libsodium.a | head -n 1)
fi

rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/sources"

# The system's sources, for source packages alone: one-line entries and paragraphs.
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ -f "$list" ]; then sed -n 's/^deb /deb-src /p' "$list"; fi
done >"$work/apt/sources/all.list"
for list in /etc/apt/sources.list.d/*.sources; do
    if [ -f "$list" ]; then
        sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/apt/sources/${list##*/}"
    fi
done

cd "$work"
apt() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/apt/sources" \
        -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
        -o APT::Sandbox::User="$(id -un)" "$@"
}
# Another repository may have no source packages, which is no fault here.
apt update || true
apt source zeromq3 || fail "no source package zeromq3: what is said above tells why"
source=$(find . -mindepth 1 -maxdepth 1 -type d -name 'zeromq3-*' | head -n 1)
[ -n "$source" ] || fail "apt-get source has left no folder"
version=$(dpkg-parsechangelog -l "$source/debian/changelog" -S Version)

# As the distribution has it, but for drafts: neither WebSockets nor the other tree of subscriptions,
# which cmake adds to them. libzmq's own assertions stay, for they do not hang on NDEBUG.
flags="-O3 -g0 -fPIC -fvisibility=hidden -flto -ffat-lto-objects"
cmake -S "$source" -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_POLICY_VERSION_MINIMUM=3.5 \
    -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_CXX_FLAGS="$flags" \
    -DCMAKE_C_FLAGS="$flags" -DCMAKE_AR="$(command -v gcc-ar || command -v ar)" \
    -DCMAKE_RANLIB="$(command -v gcc-ranlib || command -v ranlib)" \
    -DENABLE_DRAFTS=ON -DENABLE_CURVE=ON -DWITH_LIBSODIUM=ON -DENABLE_WS=OFF -DENABLE_RADIX_TREE=OFF \
    -DBUILD_SHARED=OFF -DBUILD_STATIC=ON -DZMQ_BUILD_TESTS=OFF -DBUILD_TESTS=OFF \
    -DWITH_PERF_TOOL=OFF -DWITH_DOCS=OFF -DWITH_TLS=OFF -DWITH_OPENPGM=OFF -DWITH_LIBBSD=OFF >cmake.log ||
    fail "cmake failed: $work/cmake.log"
cmake --build build --parallel "$(nproc)" >build.log || fail "the build failed: $work/build.log"
cmake --install build >install.log
cp "$sodium" "$prefix/lib/"

# What tools/wheels.py puts into a wheel: a folder for each package, with its version and licence.
licence() {
    mkdir -p "$prefix/share/$1"
    echo "$2" >"$prefix/share/$1/version"
    cat "$3" >"$prefix/share/$1/copyright"
}
licence zeromq "$version" "$source/debian/copyright"
for text in "$source/COPYING.LESSER" "$source/COPYING" "$source/LICENSE"; do
    if [ -f "$text" ]; then cat "$text" >>"$prefix/share/zeromq/copyright"; fi
done
licence libsodium "$(dpkg-query --show --showformat='${Version}' libsodium-dev)" \
    /usr/share/doc/libsodium-dev/copyright
rm -rf "$work" "$prefix/lib/cmake" "$prefix/share/zmq"
echo "libzmq $version with drafts is in $prefix"
