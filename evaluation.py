"""Scores a model on SentEval's tasks: `python evaluation.py --help`."""

import sys

from mixcse.console import run_cli


def main(argv: list[str]) -> None:
    """As `mixcse.evaluation.main`, imported where an interrupt is heard."""
    from mixcse.evaluation import main

    main(argv)


if __name__ == "__main__":
    sys.exit(run_cli(main))
