"""What a row of the tables is, and what it can refer to."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a case is tried: a folder of its own, which it must leave as it was prepared.

    `place / "a.txt"` is a path in the folder.

    Attributes:
        folder: holds `good.txt` (sentences), `good.csv` (sentence1, sentence2, score) and what the case makes.
        model: a tiny BERT; it is shared, and nothing may write into it.
        senteval: a folder with a toy `downstream/`, the case's own.
    """

    folder: Path
    model: Path
    senteval: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def copied_model(self, name: str = "model") -> Path:
        """A copy of the model in the folder, to be broken."""
        return Path(shutil.copytree(self.model, self / name))

    def filled(self, word: str) -> str:
        """A word of a command line, its {folder}, {model} and {senteval} filled in."""
        for name in ("folder", "model", "senteval"):
            word = word.replace(f"{{{name}}}", str(getattr(self, name)))
        return word


@dataclass(frozen=True)
class Case:
    """One wrong input.

    Attributes:
        name: of the test, unique in its table: what is wrong.
        does: words of a `mixcse` command line, which has to end with exit code 2; or a call that has to raise.
        says: what the one line of the error has to contain: what, where, what to do.
        make: prepares the place.
        raises: what the call raises; of a command line it is always the one line and the exit code.
        stdin: bytes on standard input.
        env: variables of the environment.
    """

    name: str
    does: tuple[str, ...] | Callable[[Place], Any]
    says: tuple[str, ...]
    make: Callable[[Place], Any] | None = None
    raises: type[Exception] | None = None
    stdin: bytes = b""
    env: tuple[tuple[str, str], ...] = ()


TRAIN = (
    *("train", "--model_name_or_path", "{model}", "--train_file", "{folder}/good.txt", "--output_dir", "{folder}/out"),
    *("--use_cpu", "--max_steps", "2", "--per_device_train_batch_size", "8"),
)
EVALUATE = ("evaluate", "--model_name_or_path", "{model}", "--senteval_data", "{senteval}")


def file(name: str, content: str | bytes) -> Callable[[Place], Any]:
    """What makes a file in the folder, and folders on the way to it."""

    def make(place: Place) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make
