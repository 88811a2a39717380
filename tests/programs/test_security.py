"""What SECURITY.md promises of the sources: nothing executes data, pins are exact, the tests it names are there."""

import ast
import re
import tomllib

import doc_pages
import pytest
from doc_pages import ROOT
from packaging.requirements import Requirement

SOURCES = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in ("tests", ".venv", "build")]
RULES = {"S102", "S202", "S301", "S302", "S306", "S307", "S506", "S602", "S604", "S605"}  # of ruff
# A keyword that a call has to have, where its default has not always been so; and one that no call may have.
NEEDED = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}
REFUSED = {("trust_remote_code", "True"), ("allow_pickle", "True")}
# Between processes that one of them has started, over a pipe that no other has.
OWN_PIPE = ROOT / "mixcse/encoder/processes.py"


def faults(source: str) -> list[str]:
    """Calls that may execute what they read, beside those that ruff finds."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            given = {(keyword.arg, ast.unparse(keyword.value)) for keyword in call.keywords}
            needed = NEEDED.get(ast.unparse(call.func))
            if given & REFUSED or (needed and needed not in given):
                found.append(ast.unparse(call))
    return found


def test_no_source_executes_data():
    assert len(SOURCES) > 100
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["select"]) >= RULES
    found = {path: faults(path.read_text(encoding="utf-8")) for path in SOURCES if "noqa: S" not in path.read_text()}
    assert len(found) == len(SOURCES), "a source that switches ruff's rules off"
    assert [path for path in found if found[path]] == [OWN_PIPE] and len(found[OWN_PIPE]) == 1, found


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(f)", "torch.load(f, weights_only=flag)", "np.load(f)", "np.load(f, allow_pickle=True)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_what_executes_data_is_noticed(source):
    assert faults(source)


def requirements(lines) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {one.name.lower().replace("_", "-"): one for one in found}


def test_pins_are_exact_and_are_those_of_the_project():
    """All that is needed is pinned, within what pyproject.toml allows, and nothing else but what makes the tokens."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = requirements(project["dependencies"])
    pinned = requirements((ROOT / "requirements.txt").read_text().splitlines())
    assert set(pinned) - set(needed) == {"tokenizers"}
    assert set(needed) <= set(pinned)
    for name, pin in pinned.items():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)) and pin.url is None and pin.marker is None, pin
        version = str(pin.specifier).removeprefix("==")
        assert name not in needed or needed[name].specifier.contains(version), f"{pin} is not {needed[name]}"
    ranges = {name: one for extra, lines in project["optional-dependencies"].items() if extra != "test"
              for name, one in requirements(lines).items()}  # fmt: skip
    for name, pin in requirements(project["optional-dependencies"]["test"]).items():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin
        assert name not in ranges or ranges[name].specifier.contains(str(pin.specifier).removeprefix("==")), pin


def test_the_tests_that_are_named_are_there():
    """Each promise names what keeps it: `tests/file.py`, or `tests/file.py::test`."""
    rows = [line for line in doc_pages.read("SECURITY.md").splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| ---")][1:]
    assert len(promises) >= 8
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", promise)
        assert named, promise
        for file, test in named:
            assert (ROOT / file).is_file(), promise
            assert not test or f"def {test}(" in (ROOT / file).read_text(), promise
    assert "(SECURITY.md)" in doc_pages.read("README.md")
