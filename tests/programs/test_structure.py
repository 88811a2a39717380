"""The sizes that keep the project readable, and what each room says of itself."""

import ast

import pytest
from doc_pages import ROOT

LONGEST = {"README.md": 150, "CONTRIBUTING.md": 100} | {
    path.relative_to(ROOT).as_posix(): 300 for path in sorted((ROOT / "mixcse").rglob("*.py"))
}
ROOMS = sorted(path.parent.name for path in (ROOT / "mixcse").glob("*/__init__.py"))


@pytest.mark.parametrize("file", [file for file in LONGEST if (ROOT / file).exists()])
def test_no_file_is_too_long(file):
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= LONGEST[file]


def test_few_modules_lie_outside_the_rooms():
    assert len(list((ROOT / "mixcse").glob("*.py"))) <= 10


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room):
    assert ast.get_docstring(ast.parse((ROOT / "mixcse" / room / "__init__.py").read_text(encoding="utf-8")))
