"""Trains MixCSE: `python train.py --help`."""

import sys

from mixcse.console import run_cli


def main(argv: list[str]) -> None:
    """As `mixcse.commands.train.main`, imported where an interrupt is heard."""
    from mixcse.commands.train import main

    main(argv)


if __name__ == "__main__":
    sys.exit(run_cli(main))
