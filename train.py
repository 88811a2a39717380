"""Trains MixCSE: `python train.py --help`."""

import sys

from mixcse.base.program import run_cli


def main(argv: list[str]) -> None:
    """As `mixcse.train.command.main`, imported where an interrupt is heard."""
    from mixcse.train.command import main

    main(argv)


if __name__ == "__main__":
    sys.exit(run_cli(main))
