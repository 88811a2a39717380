"""Command lines and JSON files to arguments, with an answer to a typing error."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from mixcse.base.console import unknown_option
from mixcse.base.errors import UserError
from mixcse.data.formats import half_character
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.help import add_help_options, answer_help

# In a run's arguments.json, and no options: of the training file; how many torchrun launched.
CHECKSUM, PROCESSES = "train_file_sha256", "processes"
RENAMED = {"--no_cuda": "--use_cpu", "--save_safetensors": "nothing (weights are always safetensors)"}


class StrictParser(HfArgumentParser):
    """Says what is wrong in one line; takes no abbreviations, so that a typing error is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, add_help=False, **kwargs)
        add_help_options(self)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message if len(message) < 400 else f'{message[:400]}…'} (see --help)")  # many choices


def parse_training_arguments(argv: list[str]) -> tuple[ModelArguments, DataArguments, TrainArguments]:
    """Parses `train.py`'s arguments; a leading `.json` file gives them by name.

    Raises:
        UserError: an option is unknown, or its value is of the wrong kind or out of range.
    """
    answer_help(argv)
    if fault := half_character(argv):
        raise UserError(f"the command line is not UTF-8 ({fault}); rename what it names")
    parser = StrictParser((ModelArguments, DataArguments, TrainArguments), prog="train.py")
    if argv and argv[0].endswith(".json"):
        path = Path(argv[0])
        recorded = _arguments_from_json(path)
        try:
            _check_words(parser, recorded)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        argv = recorded + argv[1:]
    _check_words(parser, argv)
    try:
        groups = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    except (ValueError, TypeError, OSError, ImportError) as error:  # transformers' own checks
        raise UserError(" ".join(str(error).split())[:400]) from error
    for group in groups:
        _check_nothing_is_empty(group)
    return groups


def _check_words(parser: StrictParser, argv: list[str]) -> None:
    _, unknown = parser.parse_known_args(argv)
    if not unknown:
        return
    name = unknown[0].split("=")[0]
    if name in RENAMED:
        raise UserError(f"unknown option {name}: today it is {RENAMED[name]}")
    raise UserError(unknown_option(unknown[0], parser._option_string_actions))


def _check_nothing_is_empty(group: Any) -> None:
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if value in ("", [""]) and field.default != value:
            raise UserError(f"--{field.name} is empty; give it a value, or leave it out")


def _arguments_from_json(path: Path) -> list[str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; a first word that ends in .json is a file of options") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); convert the file, for instance with iconv") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected an object that maps option names to values")
    argv = []
    for name, value in values.items():
        if value is None or value == [] or name in (CHECKSUM, PROCESSES):
            continue
        words = [_as_argument(one) for one in (value if isinstance(value, list) else [value])]
        if fault := half_character(words):
            raise UserError(f"{path}: {name!r}: {fault}")
        argv += [f"--{name}", *words] if isinstance(value, list) else [f"--{name}={words[0]}"]
    return argv


def _as_argument(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
