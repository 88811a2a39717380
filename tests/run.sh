#!/usr/bin/env bash
# Runs the tests and the linter:  bash tests/run.sh [any pytest argument]
# Tests on real data run where SENTEVAL_DATA points at it or ../shared/data holds it, and are skipped elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Libraries are compiled when they are first imported: the tests import a part of them.
export PIP_COMPILE=0
unset PYTHONDONTWRITEBYTECODE
. mixcse/environment.sh test
ruff check .
ruff format --check .
if contracts=$(lint-imports --no-logo --no-cache); then # of pyproject.toml: who may import whom
    grep '^Contracts: ' <<<"$contracts"
else
    echo "$contracts" >&2
    exit 1
fi
# As many files at once as there are cores: each test keeps to one thread.
exec python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
