"""`mixcse fetch`, and what it finds where the data goes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input.case import Case, Place, file
from mixcse.base.errors import UserError
from mixcse.data.fetch import CORPUS, fetch_corpus, fetch_senteval


def _corpus(name: str, make: Callable[[Place], Any], *says: str) -> Case:
    return Case(f"corpus: {name}", lambda place: fetch_corpus(place / "data"), says, make=make, raises=UserError)


def _tasks(name: str, make: Callable[[Place], Any], *says: str) -> Case:
    def does(place: Place) -> Path:
        return fetch_senteval(place / "target", place / "data")

    return Case(f"tasks: {name}", does, says, make=make, raises=UserError)


def _with_record(content: str) -> Callable[[Place], Any]:
    def make(place: Place) -> None:
        file(f"data/{CORPUS}", "a line\n" * 1_000_000)(place)
        file("data/fetched.json", content)(place)

    return make


CASES = [
    Case("a word", ("fetch", "corpus"), ("unexpected argument 'corpus'",)),
    Case("an option there is not", ("fetch", "--force"), ("unknown option --force (see --help)",)),
    Case("an option misspelt", ("fetch", "--hlep"), ("unknown option --hlep; did you mean --help?",)),
    Case("an empty word", ("fetch", ""), ("unexpected argument ''",)),
    Case("a command there is not", ("fetsh",), ("unknown command 'fetsh'; did you mean fetch?",)),
    _corpus("the data's folder is a file", file("data", "x"), "data is a file, no folder; name another"),
    _corpus("too few lines", file(f"data/{CORPUS}", "a line\n"), "1 lines, expected 1,000,000; delete it"),
    _corpus("an empty file", file(f"data/{CORPUS}", ""), "0 lines, expected 1,000,000; delete it"),
    _corpus("a binary file", file(f"data/{CORPUS}", bytes(range(256))), "1 lines, expected 1,000,000"),
    _corpus(
        "changed since it was checked",
        _with_record(json.dumps({CORPUS: {"sha256": "0" * 64}})),
        "its content has changed",
    ),
    _corpus("a damaged record", _with_record("{"), "fetched.json is damaged", "delete it"),
    _corpus("a record that is a list", _with_record("[1]"), "fetched.json is damaged", "delete it"),
    _tasks("downstream is a file", file("target/downstream", "x"), "downstream", "delete downstream/ there"),
    _tasks("an empty downstream", lambda p: (p / "target/downstream").mkdir(parents=True), "delete downstream/ there"),
]
