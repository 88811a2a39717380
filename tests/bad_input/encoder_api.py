"""`SentenceEncoder` in Python; what it does with an index is in index.py."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bad_input.case import Case, Place, file
from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.model.sentence_model import SentenceModel

TWO = ["a cat", "a dog"]


def made(**options: Any) -> Callable[[Place], Any]:
    return lambda place: SentenceEncoder(place.model, **options)


def of_a_live_model(**options: Any) -> Callable[[Place], Any]:
    return lambda place: SentenceEncoder(SentenceModel.from_pretrained(place.model), **options)


def encodes(sentences: Any = TWO, *values: Any, **options: Any) -> Callable[[Place], Any]:
    return lambda place: SentenceEncoder(place.model).encode(sentences, *values, **options)


def compares(a: Any, b: Any = TWO) -> Callable[[Place], Any]:
    return lambda place: SentenceEncoder(place.model).similarity(a, b)


def file_of(name: str = "good.txt", out: str = "out.npy", **options: Any) -> Callable[[Place], Any]:
    return lambda place: SentenceEncoder(place.model).encode_file(place / name, place / out, **options)


def diverged(place: Place) -> SentenceEncoder:
    model = SentenceModel.from_pretrained(place.model)
    torch.nn.init.constant_(model.encoder.embeddings.LayerNorm.weight, torch.nan)
    return SentenceEncoder(model)


CONSTRUCTION = [
    Case(
        "no model",
        lambda _: SentenceEncoder(None),
        ("a folder, a Hub id or a SentenceModel, not None",),
        raises=TypeError,
    ),
    Case("an unknown pooler", made(pooler="median"), ("pooler 'median' is not one of cls",), raises=UserError),
    Case("an unknown dtype", made(dtype="float64"), ("dtype 'float64' is not one of float32",), raises=UserError),
    Case("an empty device", made(device=""), ("device '' cannot be used",), raises=UserError),
    Case(
        "a device without numbers",
        made(device=torch.device("meta")),
        ("device 'meta' cannot be used",),
        raises=UserError,
    ),
    Case("no tokens", made(max_seq_length=0), ("max_seq_length 0 is outside 3 to 64",), raises=UserError),
    Case(
        "a prompt that is no text",
        encodes(prompt=3),
        ("prompt is text before each sentence, not int",),
        raises=TypeError,
    ),
    Case("half a character", encodes(prompt="\ud800"), ("the prompt is no Unicode text",), raises=UserError),
    Case("a device for a live model", of_a_live_model(device="cpu"), ("device is for a model",), raises=UserError),
    Case("a revision for a live model", of_a_live_model(revision="main"), ("revision is for",), raises=UserError),
    Case(
        "a folder without a model",
        lambda place: SentenceEncoder(place.folder),
        ("{folder}: ", "config.json"),
        raises=UserError,
    ),
]

ENCODE = [
    Case("one string", encodes("a cat"), ("a list of sentences, not one str",), raises=TypeError),
    Case("bytes", encodes(b"a cat"), ("a list of sentences, not one bytes",), raises=TypeError),
    Case("a dict", encodes({"a cat": 1}), ("a list of sentences, not one dict",), raises=TypeError),
    Case("a list with None", encodes(["a", None]), ("sentence 1 is no string but NoneType",), raises=TypeError),
    Case("an array of numbers", encodes(np.ones((2, 3))), ("sentence 0 is no string",), raises=TypeError),
    Case("a lone surrogate", encodes(["a", "b \ud83d"]), ("half a character",), raises=ValueError),
    Case("batch_size 0", encodes(batch_size=0), ("batch_size must be at least 1, not 0",), raises=ValueError),
    Case("truncate_dim 0", encodes(truncate_dim=0), ("truncate_dim must be from 1 to 16",), raises=ValueError),
    Case("truncate_dim too large", encodes(truncate_dim=17), ("from 1 to 16, not 17",), raises=ValueError),
    Case("a misspelt option", encodes(normalise=True), ("unexpected keyword argument 'normalise'",), raises=TypeError),
]

SIMILARITY = [
    Case("one string to compare", compares("a cat"), ("a list of sentences, not one str",), raises=TypeError),
    Case("embeddings of another length", compares(np.ones((1, 3))), ("of 3 and of 16 components",), raises=ValueError),
    Case(
        "one embedding",
        compares(np.ones(16)),
        ("this has shape (16,)",),
        raises=ValueError,
    ),
    Case("NaN", compares(torch.tensor([[1.0] * 16, [torch.nan] * 16])), ("embedding 1 holds NaN",), raises=ValueError),
]

FILES = [
    Case("a file without rows", file_of("head.csv"), ("head.csv: no sentences",), file("head.csv", "a\n"), UserError),
    Case(
        "a file of an unknown kind",
        file_of(out="out.csv"),
        ("are written to .npy",),
        raises=UserError,
    ),
    Case(
        "a file over itself",
        file_of("in.jsonl", "in.jsonl"),
        ("is the file that is read",),
        file("in.jsonl", '"a"'),
        UserError,
    ),
    Case("tensors of a file", file_of(convert_to_tensor=True), ("convert_to_tensor is for encode",), raises=TypeError),
    Case(
        "a model that has diverged",
        lambda place: diverged(place).encode_file(place / "good.txt", place / "out.jsonl"),
        ("the model gives NaN or infinity",),
        raises=UserError,
    ),
]

CASES = CONSTRUCTION + ENCODE + SIMILARITY + FILES
