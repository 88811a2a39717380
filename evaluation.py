"""Scores a model on SentEval's tasks: `python evaluation.py --help`."""

import sys

from mixcse.console import run_cli

if __name__ == "__main__":
    from mixcse.evaluation import main

    sys.exit(run_cli(main))
