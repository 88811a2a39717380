"""SentEval's original surface: `SE(params, batcher, prepare).eval(tasks)`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senteval.encoding import as_array, check_rows, embed_distinct
from senteval.errors import EncoderError
from senteval.protocols import Scoring, score_task
from senteval.tasks import get_task

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


DEFAULTS = {"usepytorch": True, "kfold": 10, "batch_size": 128, "seed": 1111, "classifier": {}}


class SE:
    """An evaluation engine for a batcher of the user's.

    Args:
        params: a dictionary (or an object with attributes):
            task_path: the folder that holds `downstream/` (and `probing/`);
            batch_size: the most sentences a batcher gets at once (128);
            kfold, seed: folds (10) and seed (1111) of the classifiers;
            usepytorch: SentEval's own classifier (True) or scikit-learn's;
            classifier: see `senteval.classifier.Settings`;
            device: of the classifiers (default: the GPU if there is one);
            similarity: of two vectors, for the STS tasks (default: the cosine).
        batcher: `batcher(params, batch) -> array or tensor (len(batch), d)`; `batch` is a
            list of token lists.
        prepare: `prepare(params, samples)`, called once a task with all its token lists.

    In both calls `params` holds `current_task` and everything that was put into it.
    """

    def __init__(
        self,
        params: dict[str, Any],
        batcher: Callable[[Params, TokenLists], Any],
        prepare: Callable[[Params, TokenLists], Any] | None = None,
    ) -> None:
        given = params if isinstance(params, dict) else vars(params)
        self.params = Params({**DEFAULTS, **given})
        self.params.classifier = Params(self.params.classifier)
        if not isinstance(self.params.batch_size, int) or self.params.batch_size < 1:
            raise ValueError(f"params['batch_size'] must be at least 1, not {self.params.batch_size!r}")
        if "task_path" not in self.params:
            raise ValueError("params needs 'task_path': the folder that holds 'downstream/'")
        self.scoring = Scoring.from_params(self.params)
        self.batcher = batcher
        self.prepare = prepare or (lambda params, samples: None)

    def eval(self, name: str | Sequence[str]) -> dict[str, Any]:
        """Results of one task, or `{task: results}` of several.

        Raises:
            ValueError: unknown task.
            DataError: the task's data is missing or malformed.
            EncoderError: the batcher did not return one finite row a sentence.
        """
        if not isinstance(name, str):
            return {one: self.eval(one) for one in name}
        task = get_task(name)
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
