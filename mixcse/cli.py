"""The `mixcse` command: the project's programs behind one name."""

import argparse
import difflib
import sys
from importlib import import_module

from mixcse import __version__
from mixcse.base.console import OneLineParser
from mixcse.base.errors import UserError
from mixcse.base.program import run_cli

# name -> the module whose `main(argv, prog)` it is, and what it does
COMMANDS = {
    "train": ("mixcse.train.command", "train an encoder on sentences (the same as python train.py)"),
    "evaluate": ("mixcse.evaluate.command", "score it on SentEval's tasks (the same as python evaluation.py)"),
    "encode": ("mixcse.encoder.encode_command", "turn sentences into embeddings: files, or a pipe of JSON lines"),
    "search": ("mixcse.encoder.search_command", "find the sentences of a corpus that are closest to a query"),
    "fetch": ("mixcse.data.fetch", "download the paper's corpus and evaluation data"),
    "reproduce": ("mixcse.reproduce.cli", "run the experiments of the paper's tables, and report them"),
}
EXAMPLES = """examples:
  mixcse train --model_name_or_path bert-base-uncased --train_file sentences.txt --output_dir out
  mixcse evaluate --model_name_or_path out --task_set sts
  mixcse encode --model out sentences.txt --output embeddings.npy
  mixcse search --model out --corpus sentences.txt "a cat sits on the mat"

mixcse NAME --help says more of each."""


def main(argv: list[str]) -> None:
    """Hands the rest of the command line to the program that its first word names."""
    name, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if name.startswith("-"):
        _parser().parse_args([name])
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
        raise UserError(f"unknown command {name!r}; {hint}")
    import_module(COMMANDS[name][0]).main(rest, prog=f"mixcse {name}")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="mixcse",
        usage="mixcse NAME [option ...]",
        description="Sentence embeddings by contrastive learning with mixed negatives.\n\n"
        + "\n".join(f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mixcse {__version__}")
    return parser


def entry() -> None:
    """The installed command."""
    sys.exit(run_cli(main))
