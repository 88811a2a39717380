"""Command lines and JSON files to arguments, with an answer to a typing error."""

import json
from argparse import SUPPRESS, Namespace
from copy import copy
from dataclasses import Field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from mixcse.base.console import OneLineParser
from mixcse.base.errors import UserError
from mixcse.base.fields import CHECKED
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments, resolve
from mixcse.train.help import add_help_options, answer_help

# In a run's arguments.json, and no options: of the training file; how many torchrun launched.
CHECKSUM, PROCESSES = "train_file_sha256", "processes"


class StrictParser(OneLineParser, HfArgumentParser):
    """Says what is wrong in one line; takes no abbreviations, so that a typing error is one."""

    def __init__(self) -> None:
        kinds = (ModelArguments, DataArguments, TrainArguments)
        super().__init__(kinds, prog="train.py", allow_abbrev=False, add_help=False)
        add_help_options(self)

    @staticmethod
    def _parse_dataclass_field(parser: Any, field: Field) -> None:
        field = copy(field)
        field.metadata = {name: value for name, value in field.metadata.items() if name not in CHECKED}
        HfArgumentParser._parse_dataclass_field(parser, field)

    def parse_known_args(self, args: list[str], namespace: Any = None) -> tuple[Namespace, list[str]]:
        """As argparse's, but none may be unknown."""
        options, unknown = super().parse_known_args(args, namespace)
        return self._all_known(options, unknown), []


def parse_training_arguments(argv: list[str]) -> tuple[ModelArguments, DataArguments, TrainArguments]:
    """Parses `train.py`'s arguments; a leading `.json` file gives them by name.

    Raises:
        UserError: an option is unknown, or its value is of the wrong kind or out of range.
    """
    answer_help(argv)
    parser = StrictParser()
    if argv and argv[0].endswith(".json"):
        path = Path(argv[0])
        recorded = _arguments_from_json(path)
        try:
            parser.parse_known_args(recorded)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        argv = recorded + argv[1:]
    try:
        model_args, data_args, args = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
        return model_args, data_args, resolve(args)
    except json.JSONDecodeError as error:
        raise UserError(f"an option takes a JSON object, such as '{{\"key\": 1}}', not {error.doc:.80}") from error
    except (ValueError, TypeError, OSError, ImportError) as error:  # transformers' own checks
        raise UserError(" ".join(str(error).split())[:400]) from error


def given_options(argv: list[str]) -> dict[str, Any]:
    """The options that a command line gives, by name and in their types; raises UserError as above."""
    parser = StrictParser()
    for action in parser._actions:
        action.default = SUPPRESS
    return vars(parser.parse_args(argv))


def _arguments_from_json(path: Path) -> list[str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; a first word that ends in .json is a file of options") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected an object that maps option names to values")
    argv = []
    for name, value in values.items():
        if value is None and name == "save_total_limit":
            value = 0  # all, whereas the default is a number
        if value is None or value == [] or name in (CHECKSUM, PROCESSES):
            continue
        if isinstance(value, list):
            argv += [f"--{name}", *map(str, value)]
        else:
            argv.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return argv
