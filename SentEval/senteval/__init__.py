"""SentEval for today's Python: sentence-embedding evaluation on the standard tasks.

    import senteval

    suite = senteval.Suite.load(["STSBenchmark"], "SentEval/data", splits=["test"])
    results = suite.score(suite.embed(encode))  # encode: list[str] -> array (n, d)

Scripts written for the original harness keep working: `senteval.engine.SE`.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "TASKS": "tasks",
    "DataError": "errors",
    "EncoderError": "errors",
    "Labelled": "labelled",
    "Pairs": "readers",
    "Scoring": "protocols",
    "Suite": "suite",
    "list_tasks": "tasks",
    "read_pairs_file": "readers",
}
__all__ = [*_HOMES, "engine"]


def __getattr__(name: str) -> Any:  # torch, scipy and scikit-learn are imported when they are needed
    if name in _HOMES:
        return getattr(import_module(f"senteval.{_HOMES[name]}"), name)
    if not name.startswith("_"):
        try:
            return import_module(f"senteval.{name}")  # `senteval.engine.SE` after `import senteval` alone
        except ModuleNotFoundError as error:
            if error.name != f"senteval.{name}":
                raise
    raise AttributeError(f"module 'senteval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
