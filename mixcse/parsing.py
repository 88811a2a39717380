"""Command lines and JSON files to arguments, with an answer to a typing error."""

import difflib
import json
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from mixcse.arguments import DataArguments, ModelArguments
from mixcse.console import UserError, first_line
from mixcse.train_arguments import TrainArguments
from mixcse.train_help import add_help_options, answer_help

# In a run's arguments.json, and no options: of the training file; how many torchrun launched.
CHECKSUM, PROCESSES = "train_file_sha256", "processes"
RENAMED = {"--no_cuda": "--use_cpu", "--save_safetensors": "nothing (weights are always safetensors)"}


class StrictParser(HfArgumentParser):
    """Says what is wrong in one line; takes no abbreviations, so that a typing error is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, add_help=False, **kwargs)
        add_help_options(self)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def parse_training_arguments(argv: list[str]) -> tuple[ModelArguments, DataArguments, TrainArguments]:
    """Parses `train.py`'s arguments; a leading `.json` file gives them by name.

    Raises:
        UserError: an option is unknown, or its value is of the wrong kind or out of range.
    """
    answer_help(argv)
    parser = StrictParser((ModelArguments, DataArguments, TrainArguments), prog="train.py")
    if argv and argv[0].endswith(".json"):
        argv = _arguments_from_json(Path(argv[0])) + argv[1:]
    _, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UserError(_unknown_option(unknown[0], list(parser._option_string_actions)))
    try:
        return parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    except (ValueError, ImportError) as error:
        raise UserError(first_line(error)) from error


def _unknown_option(option: str, known: list[str]) -> str:
    name = option.split("=")[0]
    if not name.startswith("-"):
        return f"unexpected argument {option!r}: options begin with --"
    if name in RENAMED:
        return f"unknown option {name}: today it is {RENAMED[name]}"
    close = difflib.get_close_matches(name.replace("-", "_").replace("__", "--", 1), known, n=1)
    return f"unknown option {name}" + (f"; did you mean {close[0]}?" if close else " (see --help)")


def _arguments_from_json(path: Path) -> list[str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected an object that maps option names to values")
    argv = []
    for name, value in values.items():
        if value is None or value == [] or name in (CHECKSUM, PROCESSES):
            continue
        argv.append(f"--{name}")
        argv += map(_as_argument, value if isinstance(value, list) else [value])
    return argv


def _as_argument(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
