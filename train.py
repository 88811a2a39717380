"""Trains MixCSE: `python train.py --help`."""

import sys

from mixcse.console import run_cli
from mixcse.train_help import answer_help


def main(argv: list[str]) -> None:
    """As `mixcse.training.main`, but help does not wait for torch and transformers to be imported."""
    answer_help(argv)
    from mixcse import training

    training.main(argv)


if __name__ == "__main__":
    sys.exit(run_cli(main))
