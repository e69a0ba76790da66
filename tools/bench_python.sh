#!/bin/sh
# Says which Python the benchmarks run on, and in which environment: "PYTHON VENV".
#
# That is python3, unless the newest releases of what ratchet is compared with need a later one and a
# later one is here, complete with headers and venv. Nothing is installed for it.
set -eu

# The oldest Python for which all peers have wheels of their newest releases (pyomq's), and those that
# have been tried.
oldest=12
tried="13 12"

minor() {
    "$1" -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)' 2>/dev/null || echo 0
}

# What building ratchet and an environment need; a distribution has both in packages of their own.
is_whole() {
    "$1" -c 'import ensurepip, sysconfig, pathlib, sys
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())' 2>/dev/null
}

if [ "$(minor python3)" -lt "$oldest" ]; then
    for number in $tried; do
        for python in "python3.$number" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$number".*/bin/python; do
            if [ "$(minor "$python")" = "$number" ] && is_whole "$python"; then
                echo "$python .venv-3.$number"
                exit
            fi
        done
    done
fi
echo "python3 .venv"
