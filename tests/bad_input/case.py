"""What a row of the tables is, and what it can refer to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a case is tried: a folder of its own, which it must leave as it was prepared.

    Attributes:
        folder: holds `good.txt` (sentences), `good.csv` (sentence1, sentence2, score) and what the case makes.
        model: a tiny BERT; it is shared, and nothing may write into it.
        senteval: a folder with a toy `downstream/`.
    """

    folder: Path
    model: Path
    senteval: Path

    def filled(self, word: str) -> str:
        """A word of a command line, its {folder}, {model} and {senteval} filled in."""
        for name in ("folder", "model", "senteval"):
            word = word.replace(f"{{{name}}}", str(getattr(self, name)))
        return word


@dataclass(frozen=True)
class Case:
    """One wrong input.

    Attributes:
        name: of the test, unique: what is wrong.
        does: words of a `mixcse` command line, which has to end with exit code 2; or a call that has to raise.
        says: what the one line of the error has to contain: what, where, what to do.
        make: prepares the folder.
        raises: what the call raises; of a command line it is always the one line and the exit code.
        stdin: bytes on standard input.
        env: variables of the environment.
    """

    name: str
    does: tuple[str, ...] | Callable[[Place], Any]
    says: tuple[str, ...]
    make: Callable[[Path], Any] | None = None
    raises: type[Exception] | None = None
    stdin: bytes = b""
    env: tuple[tuple[str, str], ...] = ()
