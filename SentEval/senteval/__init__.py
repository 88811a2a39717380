"""SentEval for today's Python: sentence-embedding evaluation on the standard tasks.

    import senteval

    suite = senteval.Suite.load(["STSBenchmark"], "SentEval/data", splits=["test"])
    results = suite.score(suite.embed(encode))  # encode: list[str] -> array (n, d)

Scripts written for the original harness keep working: `senteval.engine.SE`.
"""

from senteval import engine
from senteval.errors import DataError, EncoderError
from senteval.labelled import Labelled
from senteval.protocols import Scoring
from senteval.readers import Pairs, read_pairs_file
from senteval.suite import Suite
from senteval.tasks import TASKS, list_tasks

__all__ = [
    "TASKS",
    "DataError",
    "EncoderError",
    "Labelled",
    "Pairs",
    "Scoring",
    "Suite",
    "engine",
    "list_tasks",
    "read_pairs_file",
]
