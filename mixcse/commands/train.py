"""`train.py` and `mixcse train`."""

from mixcse.console import check_interpreter
from mixcse.train_help import answer_help


def main(argv: list[str], prog: str = "train.py") -> None:
    """As `mixcse.training.main`, but help does not wait for torch and transformers to be imported."""
    answer_help(argv, prog=prog)
    check_interpreter()
    from mixcse import training

    training.main(argv)
