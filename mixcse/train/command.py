"""`train.py` and `mixcse train`."""

from mixcse.train.help import answer_help


def main(argv: list[str], prog: str = "train.py") -> None:
    """As `mixcse.train.run.main`, but help does not wait for torch and transformers to be imported."""
    answer_help(argv, prog=prog)
    from mixcse.train import run as training

    training.main(argv)
