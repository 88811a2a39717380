"""Where evaluation data lies, pairs of the user's own, and alignment and uniformity on pairs."""

import os
from pathlib import Path

import senteval
from mixcse.console import UserError
from mixcse.metrics import alignment, uniformity
from senteval.encoding import Embedded


def find_senteval_data(option: str | None = None) -> Path:
    """The folder that holds `downstream/`: the option, else $SENTEVAL_DATA, else SentEval/data."""
    return Path(option or os.environ.get("SENTEVAL_DATA") or Path(__file__).parents[1] / "SentEval" / "data")


def read_own_pairs(path: str | Path) -> senteval.Pairs:
    """`--eval_path`: a file in STS-B's layout; raises UserError naming the line that is wrong."""
    try:
        pairs = senteval.read_pairs_file(Path(path))
    except senteval.DataError as error:
        raise UserError(f"--eval_path {error}") from error
    if len(set(pairs.scores)) < 2:
        raise UserError(f"--eval_path {path}: a correlation needs pairs with at least two different scores")
    return pairs


def spread(pairs: senteval.Pairs, embedded: Embedded) -> dict[str, float]:
    """Alignment and uniformity of one set of pairs."""
    return {
        "alignment": alignment(embedded(pairs.first), embedded(pairs.second), pairs.scores),
        "uniformity": uniformity(embedded(pairs.sentences())),
    }
