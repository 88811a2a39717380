"""SentEval's original surface: `SE(params, batcher, prepare).eval(tasks)`."""

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from senteval.encoding import as_array, check_rows, embed_distinct
from senteval.errors import EncoderError
from senteval.protocols import Scoring, score_task
from senteval.settings import whole_number
from senteval.tasks import get_task, trained_as_fair

TokenLists = list[list[str]]


class Params(dict):
    """A dictionary whose keys are attributes too: `params.batch_size`, `params["batch_size"]`."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value


DEFAULTS = {"relatedness": "cosine", "usepytorch": True, "kfold": 5, "batch_size": 128, "seed": 1111, "classifier": {}}


class SE:
    """An evaluation engine for a batcher of the user's.

    Args:
        params: a dictionary (or an object with attributes):
            task_path: the folder that holds `downstream/` (and `probing/`);
            batch_size: the most sentences a batcher gets at once (128);
            kfold, seed: folds (5) and seed (1111) of the classifiers;
            usepytorch: SentEval's own classifier (True) or scikit-learn's;
            classifier: see `senteval.settings.Settings`;
            device: of the classifiers (default: the GPU if there is one);
            similarity: of two vectors, for the STS tasks (default: the cosine);
            relatedness: `cosine`, SimCSE's STSBenchmark and SICKRelatedness (the default), or
                `trained`, those of FAIR's SentEval.
        batcher: `batcher(params, batch) -> array or tensor (len(batch), d)`; `batch` is a
            list of token lists.
        prepare: `prepare(params, samples)`, called once a task with all its token lists.

    In both calls `params` holds `current_task` and everything that was put into it.

    Raises:
        ValueError: `params` lacks `task_path`, or a value in it cannot be used.
        TypeError: an argument, or a value in `params`, is of another kind.
    """

    def __init__(
        self,
        params: dict[str, Any],
        batcher: Callable[[Params, TokenLists], Any],
        prepare: Callable[[Params, TokenLists], Any] | None = None,
    ) -> None:
        if not isinstance(params, dict) and not hasattr(params, "__dict__"):
            raise TypeError(f"params must be a dictionary, or an object with attributes, not {params!r}")
        for argument, function in (("batcher", batcher), ("prepare", prepare or print)):
            if not callable(function):
                raise TypeError(f"{argument} must be a function of params and token lists, not {function!r}")
        given = params if isinstance(params, dict) else vars(params)
        self.params = Params({**DEFAULTS, **given})
        whole_number("params['batch_size']", self.params.batch_size, 1)
        if not isinstance(self.params.get("task_path"), str | PathLike):
            raise ValueError("params needs 'task_path', a path: the folder that holds 'downstream/'")
        if self.params.relatedness not in ("cosine", "trained"):
            raise ValueError(f"params['relatedness'] is 'cosine' or 'trained', not {self.params.relatedness!r}")
        self.scoring = Scoring.from_params(self.params)
        self.params.classifier = Params(self.params.classifier or {})
        self.batcher = batcher
        self.prepare = prepare or (lambda params, samples: None)

    def eval(self, name: str | Iterable[str]) -> dict[str, Any]:
        """Results of one task, or `{task: results}` of several.

        What `batcher`, `prepare` and `similarity` raise passes through.

        Raises:
            ValueError: unknown task, found before any is scored; or more folds than samples of a class.
            TypeError: neither a name nor a list of names.
            DataError: the task's data is missing or malformed.
            EncoderError: the batcher did not return one finite row a sentence.
        """
        if not isinstance(name, str):
            if not isinstance(name, Iterable):
                raise TypeError(f"eval takes the name of a task or a list of them, not {name!r}")
            return {task.name: self.eval(task.name) for task in [get_task(one) for one in name]}
        task = trained_as_fair(get_task(name)) if self.params.relatedness == "trained" else get_task(name)
        datasets = task.load(Path(self.params.task_path))
        sentences = [sentence for dataset in datasets.values() for sentence in dataset.sentences()]
        self.params.current_task = name
        self.prepare(self.params, [sentence.split() for sentence in sentences])
        return score_task(task, datasets, embed_distinct(self._encode, sentences), self.scoring)

    def _encode(self, sentences: list[str]) -> np.ndarray:
        size, rows = self.params.batch_size, []
        for start in range(0, len(sentences), size):
            batch = [sentence.split() for sentence in sentences[start : start + size]]
            who = f"the batcher ({self.params.current_task}, batch {start // size})"
            embeddings = as_array(self.batcher(self.params, batch), who)
            check_rows(embeddings, len(batch), who)
            if rows and embeddings.shape[1] != rows[0].shape[1]:
                raise EncoderError(f"{who} returned {embeddings.shape[1]} dimensions, before it {rows[0].shape[1]}")
            rows.append(embeddings)
        return np.concatenate(rows)
