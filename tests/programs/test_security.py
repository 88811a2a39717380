"""What SECURITY.md promises of the sources: nothing executes data, pins are exact, the tests it names are there."""

import ast
import re
import tomllib

import doc_pages
import pytest
from doc_pages import ROOT
from packaging.requirements import Requirement

SOURCES = sorted(
    path
    for folder in ("mixcse", "SentEval", "benchmarks", ".")
    for path in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py")
)
EXECUTING = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler",
    "marshal.load", "marshal.loads", "shelve.open", "dill.load", "dill.loads", "joblib.load", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle", "pd.read_pickle", "runpy.run_path", "tempfile.mktemp",
    "tar.extractall", "tarfile.extractall", "archive.extractall", "shutil.unpack_archive",
}  # fmt: skip
IMPORTED = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "yaml"}
# Between processes that one of them has started, over a pipe that no other has.
OWN_PIPE = {("mixcse/encoder/processes.py", "_work")}


def calls(source: str):
    """Every call with its function, written out, and the function it stands in."""

    def walk(node, inside):
        for child in ast.iter_child_nodes(node):
            name = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else inside
            if isinstance(child, ast.Call):
                yield child, ast.unparse(child.func), inside
            yield from walk(child, name)

    yield from walk(ast.parse(source), "")


def faults(file: str, source: str) -> list[str]:
    found = []
    for call, name, inside in calls(source):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name in EXECUTING:
            found.append(name)
        if name == "torch.load" and given.get("weights_only") != "True" and (file, inside) not in OWN_PIPE:
            found.append("torch.load without weights_only=True")
        if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
            found.append("np.load without allow_pickle=False")
        if given.get("allow_pickle", "False") != "False" or given.get("shell", "False") != "False":
            found.append("pickle or shell allowed")
        if given.get("trust_remote_code", "False") == "True":
            found.append("trust_remote_code without being asked")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            found += [f"import {name}" for name in names if name.split(".")[0] in IMPORTED]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_executes_data(path):
    assert faults(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "np.load(f, allow_pickle=True)", "eval(x)",
        "def f():\n    return pickle.loads(x)", "import pickle", "from yaml import load", "import joblib as j",
        "subprocess.run(x, shell=True)", "AutoModel.from_pretrained(x, trust_remote_code=True)", "tar.extractall(x)",
        "class A:\n    def _work(self):\n        torch.load(f, weights_only=flag)",
    ],
)  # fmt: skip
def test_what_executes_data_is_noticed(source):
    assert len(faults("mixcse/other.py", source)) >= 1


def test_templates_of_pages_switch_no_escaping_off():
    templates = sorted((ROOT / "mixcse/report/templates").glob("*.html"))
    assert templates
    for path in templates:
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", path.read_text()), path
        assert "<script" not in path.read_text()


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


def test_what_the_harness_imports_is_a_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"scikit-learn", "scipy", "numpy", "torch"} <= set(requirements(project["dependencies"]))


def test_the_tests_that_are_named_are_there():
    """Each promise names what keeps it: `tests/file.py`, or `tests/file.py::test`."""
    text = doc_pages.read("SECURITY.md")
    promises = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")][1:]
    assert len(promises) >= 8
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", promise)
        assert named, promise
        for file, test in named:
            assert (ROOT / file).is_file(), promise
            assert not test or f"def {test}(" in (ROOT / file).read_text(), promise
    assert "(SECURITY.md)" in doc_pages.read("README.md")
