"""Scores a model on SentEval's tasks: `python evaluation.py --help`."""

import sys

from mixcse.base.program import run_cli


def main(argv: list[str]) -> None:
    """As `mixcse.evaluate.command.main`, imported where an interrupt is heard."""
    from mixcse.evaluate.command import main

    main(argv)


if __name__ == "__main__":
    sys.exit(run_cli(main))
