"""Trains MixCSE: `python train.py --help`."""

import sys

from mixcse.console import run_cli

if __name__ == "__main__":
    from mixcse.training import main

    sys.exit(run_cli(main))
