"""`python -m mixcse.fetch`: the paper's data."""

import sys

from mixcse.base.program import run_cli
from mixcse.data.fetch import main

if __name__ == "__main__":
    sys.exit(run_cli(main))
