"""`train.py --help` at once, out of the dataclasses' fields: a parser of transformers' takes seconds to import."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mixcse.options import DataArguments, ModelArguments, Recipe

HELP, HELP_ALL = ("-h", "--help"), ("--help_all", "--help-all")
# Options that transformers alone defines, those asked for most.
COMMON = (
    "seed", "do_eval", "max_steps", "bf16", "fp16", "use_cpu", "warmup_steps", "weight_decay", "lr_scheduler_type",
    "gradient_accumulation_steps", "report_to", "disable_tqdm",
)  # fmt: skip
EXAMPLES = """
examples:
  {prog} --train_file sentences.txt --output_dir out
  {prog} --model_name_or_path roberta-base --train_file pairs.csv --output_dir out --variant simcse
  {prog} --train_file sentences.txt --output_dir out --do_eval --eval_steps 125 --senteval_data SentEval/data
"""
VALUES = {int: "N", float: "X", str: "TEXT", list[str]: "FILE"}


def answer_help(argv: Sequence[str], before: str = "", prog: str = "train.py") -> None:
    """Where the arguments ask for help, prints it, after `before`, and exits."""
    if not {*HELP} & {*argv}:
        return
    sys.stdout.write(before + help_text(prog))
    sys.stdout.flush()
    sys.exit(0)


def add_help_options(parser: argparse.ArgumentParser) -> None:
    """Adds both; what the second lists is the parser's own help, the first is for `answer_help`."""
    group = parser.add_argument_group("help")
    group.add_argument(*HELP, action="help", help="show the options that are ours, and exit")
    group.add_argument(*HELP_ALL, action="help", help="list every option, transformers' own too, and exit (slow)")


def help_text(prog: str = "train.py") -> str:
    """Our options by group, and where to find transformers' own."""
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s --train_file FILE --output_dir DIR [option ...]\n       %(prog)s recipe.json [option ...]",
        description="Trains a sentence encoder.  A JSON file gives options by name.  Hyphens may stand for "
        "underscores, and a flag takes a value too, as in --do_train False.",
        epilog=f"Every other option of transformers' TrainingArguments works too, such as "
        f"{', '.join(f'--{name}' for name in COMMON)}; {HELP_ALL[0]} lists them all.",
        add_help=False,
    )
    add_help_options(parser)
    for kind in (ModelArguments, DataArguments, Recipe):
        group = parser.add_argument_group(kind._argument_group_name)
        types = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            group.add_argument(f"--{field.name}", **_shown(field, types[field.name]))
    return parser.format_help() + EXAMPLES.format(prog=prog)


def _shown(field: dataclasses.Field, kind: Any) -> dict[str, Any]:
    """How argparse is to show a field: its value, its text, its default and its other spellings."""
    if NoneType in get_args(kind):  # X | None
        kind = get_args(kind)[0]
    notes = [] if field.default is None else [f"default: {field.default}"]
    if field.default is True:
        notes.append(f"off: --no_{field.name}")
    notes += [f"also {alias}" for alias in field.metadata.get("aliases", ())]
    shown: dict[str, Any] = {"help": field.metadata["help"] + (f" ({'; '.join(notes)})" if notes else "")}
    if kind is bool:
        return shown | {"action": "store_true"}
    choices = get_args(kind) if get_origin(kind) is Literal else field.metadata.get("choices")
    return shown | (
        {"choices": choices} if choices else {"metavar": field.metadata.get("metavar", VALUES.get(kind, "VALUE"))}
    )
