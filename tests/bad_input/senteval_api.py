"""`senteval`: what its engine and its suite are given, and what a batcher or `encode` returns."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import senteval
from bad_input.case import Case, Place

STSB = "STSBenchmark"


def rows(params: Any, batch: list[list[str]]) -> np.ndarray:
    return np.array([[len(tokens), sum(map(len, tokens)), 1] for tokens in batch], dtype=np.float32)


def of_params(**params: Any) -> Callable[[Place], Any]:
    return lambda place: senteval.engine.SE({"task_path": place.senteval, **params}, rows)


def of_classifier(**classifier: Any) -> Callable[[Place], Any]:
    return of_params(classifier=classifier)


def of_batcher(returned: Callable[[int], Any]) -> Callable[[Place], Any]:
    """Evaluates with a batcher of which this makes the answer, out of the number of sentences."""
    return lambda place: senteval.engine.SE(
        {"task_path": place.senteval, "batch_size": 8}, lambda params, batch: returned(len(batch))
    ).eval(STSB)


def of_tasks(tasks: Any) -> Callable[[Place], Any]:
    return lambda place: senteval.engine.SE({"task_path": place.senteval}, rows).eval(tasks)


def of_suite(**arguments: Any) -> Callable[[Place], Any]:
    return lambda place: senteval.Suite.load(**{"names": [STSB], "data_dir": place.senteval} | arguments)


def of_encode(returned: Callable[[list[str]], Any]) -> Callable[[Place], Any]:
    return lambda place: senteval.Suite.load([STSB], place.senteval).embed(returned)


def of_a_task_that_is_missing(place: Place) -> None:
    suite = senteval.Suite.load(["STS12", STSB], place.senteval)
    suite.score_one("STS12", suite.embed(lambda sentences: np.ones((len(sentences), 2))))


WRONG_CALLS = [
    Case("no task_path", lambda place: senteval.engine.SE({}, rows), ("params needs 'task_path'",), None, ValueError),
    Case(
        "a batcher that is no function",
        lambda place: senteval.engine.SE({"task_path": place.senteval}, "encode"),
        ("batcher must be a function of params and token lists, not 'encode'",),
        raises=TypeError,
    ),
    Case(
        "a prepare that is no function",
        lambda place: senteval.engine.SE({"task_path": place.senteval}, rows, {"vocabulary": 1}),
        ("prepare must be a function of params and token lists",),
        raises=TypeError,
    ),
    *(
        Case(f"{name} {value!r}", of_params(**{name: value}), (says, repr(value)), None, ValueError)
        for name, value, says in (
            ("batch_size", 0, "params['batch_size'] must be a whole number of at least 1"),
            ("kfold", 1, "kfold must be a whole number of at least 2"),
            ("seed", "x", "seed must be a whole number of at least 0"),
            ("usepytorch", "no", "usepytorch must be True or False"),
            ("relatedness", "fair", "params['relatedness'] is 'cosine' or 'trained'"),
            ("device", "abacus", "device 'abacus' cannot be used"),
        )
    ),
    Case(
        "a similarity that is no function",
        of_params(similarity="cosine"),
        ("similarity must be a function of two vectors, not 'cosine'",),
        raises=TypeError,
    ),
    Case(
        "a classifier that is its optimiser's name",
        of_params(classifier="adam"),
        ("params['classifier'] must be a dictionary, not 'adam'",),
        raises=TypeError,
    ),
    Case(
        "an unknown key of the classifier",
        of_classifier(nhidden=3),
        ("params['classifier'] has unknown keys ['nhidden']; known: ['batch_size'",),
        raises=ValueError,
    ),
    *(
        Case(f"the classifier's {name} {value!r}", of_classifier(**{name: value}), says, None, ValueError)
        for name, value, says in (
            ("nhid", -1, ("nhid must be a whole number of at least 0, not -1",)),
            ("batch_size", 0, ("batch_size must be a whole number of at least 1, not 0",)),
            ("tenacity", None, ("tenacity must be a whole number of at least 0, not None",)),
            ("dropout", 1.5, ("dropout must be a number from 0 to 1, not 1.5",)),
            ("optim", "magic", ("optim 'magic' is not one of adadelta, adagrad, adam",)),
            ("optim", "adam,lr", ("optim 'adam,lr': ", "written as in adam,lr=0.01")),
            ("optim", "adam,lr=-1", ("optim 'adam,lr=-1': Invalid learning rate: -1.0",)),
            ("optim", "sgd,speed=1", ("optim 'sgd,speed=1': ", "unexpected keyword argument 'speed'")),
        )
    ),
]

WRONG_TASKS = [
    Case("an unknown task", of_tasks("STS17"), ("unknown task 'STS17'; known: STS12,",), None, ValueError),
    Case("tasks that are None", of_tasks(None), ("eval takes the name of a task or a list of them, not None",),
         None, TypeError),
    Case("names as one string", of_suite(names=STSB), ("names must be a list, such as ['STSBenchmark'],",),
         None, TypeError),
    Case("splits as one string", of_suite(splits="dev"), ("splits must be a list, such as ['dev'],",), None, TypeError),
    Case("no splits", of_suite(splits=[]), ("splits is empty; name some, or leave it out",), None, ValueError),
    Case("an unknown split", of_suite(splits=["dev", "tset"]), ("unknown split 'tset'; known: train,",),
         None, ValueError),
    Case("scores of a task that is missing", of_a_task_that_is_missing,
         ("the task 'STS12' is not loaded (", "STS.input.MSRpar.txt: No such file"), None, ValueError),
]  # fmt: skip

WHERE = f"the batcher ({STSB}, batch 0) returned"
NUMBERS = f"{WHERE} values of type"
WRONG_RETURNS = [
    *(
        Case(f"a batcher of {name}", of_batcher(returned), says, None, senteval.EncoderError)
        for name, returned, says in (
            ("a row too few", lambda n: np.ones((n - 1, 4)), (f"{WHERE} shape (7, 4) for 8 sentences",)),
            ("a row for each token", lambda n: np.ones((n, 5, 4)), (f"{WHERE} shape (8, 5, 4) for 8 sentences",)),
            ("ragged rows", lambda n: [[1.0] * (2 + i % 2) for i in range(n)], (f"{WHERE} no array of numbers",)),
            ("NaN", lambda n: np.full((n, 4), np.nan), (f"{WHERE} a row with NaN or infinity (row 0 of 8)",)),
            ("what overflows", lambda n: np.eye(n) * 1e30, (f"{WHERE} a row with a number beyond 1e17",)),
            ("words", lambda n: [["a", "b"]] * n, (f"{NUMBERS} <U1, expected real numbers",)),
            ("complex numbers", lambda n: np.ones((n, 2), dtype=complex), (f"{NUMBERS} complex128",)),
            ("a model's output", lambda n: {"pooler_output": np.ones((n, 2))}, (f"{NUMBERS} object",)),
            ("a tensor without data", lambda n: torch.ones(n, 2, device="meta"), (f"{WHERE} no array of numbers",)),
        )
    ),
    Case(
        "an encode of one row too many",
        of_encode(lambda sentences: np.ones((len(sentences) + 1, 2))),
        ("encode returned shape (", "expected ("),
        raises=senteval.EncoderError,
    ),
    Case(
        "an encode of one NaN",
        of_encode(lambda sentences: np.where(np.arange(len(sentences)) == 5, np.nan, 1.0)[:, None]),
        ("encode returned a row with NaN or infinity (row 5 of ",),
        raises=senteval.EncoderError,
    ),
]

CASES = [*WRONG_CALLS, *WRONG_TASKS, *WRONG_RETURNS]
