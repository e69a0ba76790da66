#!/bin/sh
# Builds ratchet and runs its tests on Python 3.14 and 3.15 with libzmq 4.3.5, none of which a stable
# Debian has: in a chroot of Debian sid. Needs root, debootstrap and the network; the host stays as
# it is, but for the chroot's folder (about 1 GB, used again by the next run).
#
#   tools/matrix.sh [ARGUMENT OF PYTEST...]
#
#   RATCHET_SID       the chroot's folder (default: /var/tmp/ratchet-sid; remove it for a newer sid)
#   RATCHET_PYTHONS   versions to test (default: "3.14 3.15")
set -eu

sid=${RATCHET_SID:-/var/tmp/ratchet-sid}
pythons=${RATCHET_PYTHONS:-3.14 3.15}
source=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "tools/matrix.sh: $1" >&2
    exit 1
}

if [ "${1:-}" != --inside ]; then
    [ "$(uname)" = Linux ] || fail "a chroot of Debian needs Linux"
    [ "$(id -u)" = 0 ] || fail "a chroot needs root: run it with sudo"
    command -v unshare >/dev/null || fail "unshare is missing: install util-linux"
    if [ ! -f "$sid/.complete" ]; then
        command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
        packages=gcc,libc6-dev,libzmq3-dev,ca-certificates
        for version in $pythons; do
            packages=$packages,python$version-venv,python$version-dev
        done
        rm -rf "$sid"
        debootstrap --variant=minbase --include="$packages" sid "$sid" >"$sid.log" 2>&1 ||
            fail "debootstrap failed: see $sid.log"
        touch "$sid/.complete"
    fi
    # In a mount namespace of its own: whatever happens, no mount is left, and removing the
    # chroot's folder can reach nothing outside it.
    exec unshare --mount --pid --fork "$0" --inside "$@"
fi
shift

mount --make-rprivate /
mount --rbind /dev "$sid/dev"
mount -t proc proc "$sid/proc"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    if [ -f "$file" ]; then cp -L "$file" "$sid$file"; fi
done

failed=
for version in $pythons; do
    work=/work-$version
    rm -rf "${sid:?}$work"
    mkdir "$sid$work"
    (cd "$source" && tar --exclude='./.*' --exclude=./build --exclude=./dist --exclude='*.so' \
        --exclude=__pycache__ -cf - .) | tar -xf - -C "$sid$work"
    # The sources go when they are built: what is tested is what was installed.
    # shellcheck disable=SC2016 # expanded inside
    chroot "$sid" env -u PIP_FIND_LINKS HOME=/root LC_ALL=C.UTF-8 \
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
        venv/bin/python -m pytest -p no:cacheprovider "$@"
        ' matrix "$work" "python$version" "$@" </dev/null || failed="$failed $version"
done
[ -z "$failed" ] || fail "failed on Python$failed"
