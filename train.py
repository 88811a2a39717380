"""Trains MixCSE: `python train.py --help`."""

import sys

from mixcse.commands.train import main
from mixcse.console import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
