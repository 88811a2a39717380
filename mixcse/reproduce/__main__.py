"""`python -m mixcse.reproduce`."""

import sys

from mixcse.base.program import run_cli

if __name__ == "__main__":
    from mixcse.reproduce.cli import main

    sys.exit(run_cli(main))
