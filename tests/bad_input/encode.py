"""`mixcse encode`: its options, its files and standard streams, and models to encode with."""

import gzip
import json
import os
from collections.abc import Callable

from bad_input.case import Case, Place, file

MODEL = ("encode", "--model", "{model}")
GOOD = (*MODEL, "{folder}/good.txt")
OUT = ("--output", "{folder}/out.npy")


def reads(name: str, content: bytes | str, *says: str, about: str = "") -> Case:
    """A file of this content is to be encoded; tests/bad_input/train_files.py has more of them."""
    return Case(about or name, (*MODEL, name, *OUT), (name, *says), file(name, content))


def without_weights(place: Place) -> None:
    for path in place.copied_model().glob("*.safetensors"):
        path.unlink()


def cut_weights(place: Place) -> None:
    path = place.copied_model() / "model.safetensors"
    os.truncate(path, path.stat().st_size // 2)


def config(**changes: object) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        path = place.copied_model() / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return make


OPTIONS = [
    Case("no model", ("encode", "good.txt"), ("--model",)),
    Case("an unknown option", (*GOOD, "--normalise"), ("unknown option --normalise; did you mean --normalize?",)),
    Case("two files", (*GOOD, "good.csv"), ("unexpected argument 'good.csv'",)),
    Case("an option without its value", (*GOOD, "--output"), ("--output", "expected one argument")),
    Case(
        "an unknown pooler",
        (*GOOD, "--pooler", "median"),
        ("--pooler", "invalid choice: 'median'"),
    ),
    Case("batch_size 0", (*GOOD, "--batch_size", "0"), ("--batch_size must be at least 1, not 0",)),
    Case(
        "a prompt that leaves no room",
        (*GOOD, "--max_seq_length", "5", "--prompt", "the cat sat on the mat"),
        ("the prompt has", "no room for a sentence in the 5 of max_seq_length; raise it, or take a shorter"),
    ),
    Case("room for special tokens only", (*GOOD, "--max_seq_length", "2"), ("max_seq_length 2 is outside 3 to 64",)),
    Case("truncate_dim 0", (*GOOD, "--truncate_dim", "0"), ("--truncate_dim must be from 1 to 16, not 0",)),
    Case("processes without ray", (*GOOD, *OUT, "--processes", "2"), ("--processes needs --engine ray",)),
    Case("processes 0", (*GOOD, "--processes", "0"), ("--processes must be at least 1, not 0",)),
    Case("an unknown device", (*GOOD, "--device", "gpu"), ("device 'gpu' cannot be used",)),
    Case("a device without numbers", (*GOOD, "--device", "meta"), ("device 'meta' cannot be used",)),
    Case("a column of standard input", (*MODEL, "--text_column", "body"), ("plain text", "'body'"), stdin=b"a\n"),
    Case("an empty column name", (*MODEL, "good.csv", "--text_column", ""), ("good.csv, line 1: no column ''",)),
]

FILES = [
    reads("none/../empty.txt", b"", "the file is empty", about="an empty file"),
    Case("a file that is not there", (*MODEL, "none.txt", *OUT), ("none.txt: no such file",)),
    Case("a folder for a file", (*MODEL, "{folder}", *OUT), ("{folder}: not a file",)),
    Case("an empty name of a file", (*MODEL, "", *OUT), ("the name of the file to encode is empty",)),
    reads("notes.docx", b"PK\3\4", "expected .txt, .csv, .tsv, .json, .jsonl or .parquet"),
    reads("archive.tar.gz", gzip.compress(b"a cat\n"), "expected .txt, .csv"),
    reads("many.csv", "a,b,c,d\n1,2,3,4\n", "4 columns (a, b, c, d)", "--text_column"),
    reads("head.tsv", "text\tmore\n", "no sentences", about="a header alone"),
    reads("nothing.txt.gz", gzip.compress(b""), "no sentences in it", about="gzip of nothing"),
]

STANDARD_INPUT = [
    Case("nothing on stdin", (*MODEL, *OUT), ("standard input: no sentences in it",)),
    Case("latin-1 on stdin", MODEL, ("stdin: line 2 is not UTF-8",), stdin=b"a cat\ncaf\xe9\n"),
    Case("a line without an end on stdin", (*MODEL, *OUT), ("stdin: line 1", "characters"), stdin=b"cat " * 300_000),
]

OUTPUT = [
    Case("output of an unknown kind", (*GOOD, "--output", "out.txt"), ("--output out.txt: expected .npy, .parquet",)),
    Case("an empty name for output", (*GOOD, "--output", ""), ("--output", "expected .npy")),
    Case(
        "a folder for output",
        (*GOOD, "--output", "out.npy"),
        ("out.npy: Is a directory",),
        lambda place: (place / "out.npy").mkdir(),
    ),
    Case("output below a file", (*GOOD, "--output", "good.csv/a/out.npy"), ("good.csv/a: Not a directory",)),
    Case(
        "output over the input",
        (*MODEL, "in.jsonl", "--output", "./in.jsonl"),
        ("in.jsonl is the file that is read",),
        file("in.jsonl", '{"text": "a"}\n'),
    ),
]

BROKEN = ("encode", "--model", "{folder}/model", "good.txt", *OUT)
MODELS = [
    Case("a model that is not there", ("encode", "--model", "no/such", "good.txt", *OUT), ("no/such: no such folder",)),
    Case("an empty name of a model", ("encode", "--model", "", "good.txt", *OUT), ("model",)),
    Case("a model without weights", BROKEN, ("{folder}/model: not a usable model folder",), without_weights),
    Case("a model for an unknown pooler", BROKEN, ("unknown pooler 'median'",), config(sentence_pooler="median")),
    Case(
        "a pooler whose head is not trained",
        (*BROKEN, "--pooler", "cls"),
        ("pooler 'cls'", "no trained head"),
        config(sentence_cls_head=False),
    ),
]

CASES = OPTIONS + FILES + STANDARD_INPUT + OUTPUT + MODELS
