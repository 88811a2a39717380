"""What training is selected by: dev sets, scored through the SentEval harness."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import senteval
from mixcse.base.console import warn
from mixcse.base.errors import UserError
from mixcse.data.pairs import find_senteval_data, read_own_pairs
from mixcse.evaluate.metrics import spread
from mixcse.evaluate.scores import PROTOCOLS, average
from mixcse.names import DEV_SETS, TRANSFER_TASKS
from senteval.encoding import Encode, embed_distinct
from senteval.sts import score_sts

STS_DEV_TASKS = {"STSBenchmark": "stsb_spearman", "SICKRelatedness": "sickr_spearman"}


@dataclass
class DevSets:
    """Dev sets; scored many times in a run, read once.

    Attributes:
        pairs: `stsb_spearman`, `sickr_spearman` and, with `--validation_file`, `dev_spearman`: by metric name.
        transfer: the transfer tasks, with `--eval_transfer`.
        missing: why there are no pairs; empty if there are.
    """

    pairs: Mapping[str, senteval.Pairs]
    transfer: senteval.Suite = field(default_factory=senteval.Suite)
    missing: str = ""

    @classmethod
    def load(cls, senteval_data: str | None, validation_file: str | None, *, transfer: bool = False) -> "DevSets":
        """Reads what is there, which may be nothing.

        Raises:
            UserError: a transfer task asked for is not, or a file is malformed.
        """
        folder = find_senteval_data(senteval_data)
        suite = senteval.Suite.load(STS_DEV_TASKS, folder, splits=["dev"])
        pairs = {STS_DEV_TASKS[task]: datasets["dev"] for task, datasets in suite.tasks.items()}
        if validation_file is not None:
            pairs["dev_spearman"] = read_own_pairs(validation_file)
        if suite.tasks:
            for task, reason in suite.missing.items():
                warn(f"{task} dev is not scored: {reason}")
        transfer_suite = senteval.Suite.load(TRANSFER_TASKS if transfer else (), folder)
        if reason := next(iter(transfer_suite.missing.values()), None):
            raise UserError(f"--eval_transfer: {reason}; name the data's folder with --senteval_data")
        return cls(pairs, transfer_suite, "" if pairs else next(iter(suite.missing.values())))

    @property
    def metrics(self) -> list[str]:
        """The scores that selection can use: higher is better."""
        both = set(STS_DEV_TASKS.values()) <= set(self.pairs)
        transfer = [*self.transfer.tasks, "avg_transfer"] if self.transfer.tasks else []
        return [*self.pairs, *(["avg_sts"] if both else []), *transfer]

    def score(self, encode: Encode) -> dict[str, float]:
        """Spearman correlations (0 to 1), dev accuracies (0 to 100), alignment and uniformity.

        Encodes every distinct sentence once.  Alignment and uniformity are measured on the
        own pairs if there are any, else on STS-B dev, else on SICK-R dev.  Without pairs there
        are none of these.
        """
        if not self.metrics:
            return {}
        sentences = [sentence for pairs in self.pairs.values() for sentence in pairs.sentences()]
        embedded = embed_distinct(encode, sentences + self.transfer.sentences())
        results = score_sts(dict(self.pairs), embedded) if self.pairs else {}
        scores = {name: float(results[name]["spearman"].correlation) for name in self.pairs}
        if "avg_sts" in self.metrics:
            scores["avg_sts"] = average([scores[name] for name in STS_DEV_TASKS.values()])
        if self.transfer.tasks:
            transfer = self.transfer.score(embedded, senteval.Scoring(PROTOCOLS["dev"]))
            scores |= {task: result["devacc"] for task, result in transfer.items()}
            scores["avg_transfer"] = average([result["devacc"] for result in transfer.values()])
        for reference in DEV_SETS:
            if reference in self.pairs:
                return scores | spread(self.pairs[reference], embedded)
        return scores
