#!/bin/sh
# Run the tests of the app side and the attacks with the oldest, a middle and the newest Streamlit that is supported.
# Usage: sh tests/streamlit-versions.sh [VERSION ...]    e.g. 1.57 1.62 newest
# Each version gets a virtual environment of its own under $STGUARD_VERSIONS (.venv-streamlit), kept for the next time.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
FOLDER=${STGUARD_VERSIONS:-.venv-streamlit}
JOBS=${JOBS:-2}
[ $# -gt 0 ] || set -- 1.57 1.62 newest

failed=
for version in "$@"; do
    venv=$FOLDER/$version
    case $version in
        newest) wanted=streamlit ;;
        *) wanted="streamlit==$version.*" ;;
    esac
    [ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
    # The newest may be another one than last time; an environment that is complete is left alone.
    if [ "$version" = newest ] || ! [ -e "$venv/.installed" ] || [ pyproject.toml -nt "$venv/.installed" ]; then
        "$venv/bin/python" -m pip install --quiet --upgrade --editable '.[dev]' "$wanted"
        touch "$venv/.installed"
    fi
    echo "== $("$venv/bin/python" -c 'import streamlit; print("Streamlit", streamlit.__version__)')"
    "$venv/bin/python" -m pytest -q -n "$JOBS" --dist=loadgroup tests/app tests/hostile tests/accounts tests/examples tests/propelauth tests/sources || failed="$failed $version"
done

if [ -n "$failed" ]; then
    echo "failed with Streamlit:$failed" >&2
    exit 1
fi
