"""What training is selected by: STS dev sets, scored through the SentEval harness."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import senteval
from mixcse.console import UserError, warn
from mixcse.metrics import alignment, uniformity
from senteval.encoding import Embedded, Encode, embed_distinct
from senteval.sts import score_sts

STS_DEV_TASKS = {"STSBenchmark": "stsb_spearman", "SICKRelatedness": "sickr_spearman"}


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


@dataclass
class DevSets:
    """Dev pairs by metric name; scored many times in a run, read once.

    Attributes:
        pairs: `stsb_spearman`, `sickr_spearman` and, with `--eval_path`, `dev_spearman`.
    """

    pairs: Mapping[str, senteval.Pairs]

    @classmethod
    def load(cls, senteval_data: str | None, eval_path: str | None) -> "DevSets":
        """Reads what is there.

        Raises:
            UserError: nothing is, or a file is malformed.
        """
        folder = find_senteval_data(senteval_data)
        suite = senteval.Suite.load(STS_DEV_TASKS, folder, splits=["dev"])
        pairs = {STS_DEV_TASKS[task]: datasets["dev"] for task, datasets in suite.tasks.items()}
        if eval_path is not None:
            pairs["dev_spearman"] = read_own_pairs(eval_path)
        if not pairs:
            raise UserError(
                f"no dev data: {next(iter(suite.missing.values()))}; point --senteval_data or $SENTEVAL_DATA at a "
                "folder with downstream/, get it with python -m mixcse.fetch, give pairs of your own with --eval_path, "
                "or train without dev scores (leave out --do_eval and its kin)"
            )
        if eval_path is None or suite.tasks:
            for task, reason in suite.missing.items():
                warn(f"{task} dev is not scored: {reason}")
        return cls(pairs)

    @property
    def metrics(self) -> list[str]:
        """The names that `score` returns and selection can use."""
        both = set(STS_DEV_TASKS.values()) <= set(self.pairs)
        return [*self.pairs, *(["avg_sts"] if both else []), "alignment", "uniformity"]

    def score(self, encode: Encode) -> dict[str, float]:
        """Spearman correlations (0 to 1), alignment and uniformity; encodes what it scores once.

        Alignment and uniformity are measured on the own pairs if there are any, else on
        STS-B dev, else on SICK-R dev.
        """
        embedded = embed_distinct(encode, (s for pairs in self.pairs.values() for s in pairs.sentences()))
        results: dict[str, Any] = score_sts(dict(self.pairs), embedded)
        scores = {name: float(results[name]["spearman"].correlation) for name in self.pairs}
        if "avg_sts" in self.metrics:
            scores["avg_sts"] = sum(scores[name] for name in STS_DEV_TASKS.values()) / len(STS_DEV_TASKS)
        reference = next(name for name in ("dev_spearman", *STS_DEV_TASKS.values()) if name in self.pairs)
        return scores | spread(self.pairs[reference], embedded)
