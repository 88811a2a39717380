"""Wrong input, at every entry point: one clear line, exit code 2, nothing touched."""

import hashlib
import importlib
import io
import os
import pkgutil
import warnings
from pathlib import Path

import pytest

import bad_input
from bad_input.case import Case, Place
from mixcse import cli
from mixcse.base.program import run_cli

TABLES = sorted(
    module.name for module in pkgutil.iter_modules(bad_input.__path__) if module.name not in ("case", "test_bad_input")
)
ROWS = [
    (f"{table}: {case.name}", case) for table in TABLES for case in importlib.import_module(f"bad_input.{table}").CASES
]
CASES = dict(ROWS)


@pytest.fixture()
def place(tmp_path, tiny_bert, toy_sentences, toy_senteval) -> Place:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "good.txt").write_text("\n".join(toy_sentences[:32]) + "\n")
    rows = [f"{a},{b},{score}" for a, b, score in zip(toy_sentences[:8], toy_sentences[8:16], range(8), strict=True)]
    (folder / "good.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n")
    return Place(folder, tiny_bert, toy_senteval)


def contents(*folders: Path) -> dict[str, str]:
    """Every path with what is in it."""
    found = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        found[str(path)] = oct(path.lstat().st_mode)
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
            found[str(path)] += hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, place, monkeypatch, capfd):
    case: Case = CASES[name]
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(case.stdin)))
    for variable, value in case.env:
        monkeypatch.setenv(variable, place.filled(value))
    if case.make is not None:
        case.make(place)
    before = contents(place.folder, place.senteval, place.model)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        if callable(case.does):
            with pytest.raises(case.raises) as raised:
                case.does(place)
            line = str(raised.value)
        else:
            assert run_cli(cli.main, [place.filled(word) for word in case.does]) == 2
            out, err = capfd.readouterr()
            assert out == ""
            *others, line = err.splitlines()
            assert line.startswith("error: ")
            assert not [other for other in others if "error" in other.lower() or "Traceback" in other]
    assert line.count("\n") == 0 and 20 < len(line) < 900
    assert all(place.filled(part) in line for part in case.says), line
    assert contents(place.folder, place.senteval, place.model) == before


def test_there_are_enough_of_them():
    assert len(CASES) == len(ROWS)  # no two of one name
    counted = {table: sum(name.startswith(f"{table}: ") for name in CASES) for table in TABLES}
    assert sum(counted.values()) >= 300, counted
