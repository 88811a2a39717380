"""`mixcse evaluate`: its options, what it writes to, and broken SentEval data."""

import json
import os
from collections.abc import Callable
from typing import Any

from bad_input.case import EVALUATE, Case, Place, file

NOTHING = "nothing could be scored, for the reasons above; SentEval's data: python -m mixcse.fetch gets it"


def _wrong(words: str, *says: str, name: str | None = None, make: Any = None) -> Case:
    return Case(name or words, (*EVALUATE, "--tasks", "STSBenchmark", *words.split()), says, make=make)


def _bare(name: str, words: tuple[str, ...], *says: str) -> Case:
    return Case(name, words, says)


def _output(name: str, content: str | bytes) -> Case:
    says = ("--output_json {folder}/scores.json: there is a file that holds no scores; name another, or delete it",)
    return _wrong(
        "--output_json {folder}/scores.json", *says, name=f"output: {name}", make=file("scores.json", content)
    )


def _data(name: str, breaks: Callable[[Place], Any]) -> Case:
    """Both tasks' data broken at once: nothing is left to be scored."""
    words = (*EVALUATE, "--tasks", "STSBenchmark", "SICKRelatedness")
    return Case(f"data: {name}", words, (NOTHING,), make=breaks)


def _each(change: Callable[[bytes], bytes]) -> Callable[[Place], Any]:
    def breaks(place: Place) -> None:
        for path in (place.senteval / "downstream").rglob("*test*"):
            path.write_bytes(change(path.read_bytes()))

    return breaks


def _missing(place: Place) -> None:
    for path in (place.senteval / "downstream").rglob("*test*"):
        path.unlink()


def _folders(place: Place) -> None:
    for path in list((place.senteval / "downstream").rglob("*test*")):
        path.unlink()
        path.mkdir()


def _no_number(content: bytes) -> bytes:
    return content.replace(b"4.6", b"high").replace(b"1.4", b"low")


def _truncated(content: bytes) -> bytes:
    return content[: content.rstrip(b"\n").rindex(b"\n") + 5]


CASES = [
    _bare("no model", ("evaluate",), "the following arguments are required: --model_name_or_path"),
    _bare("a model without a name", (*EVALUATE, "--model_name_or_path", ""), "--model_name_or_path is empty"),
    _bare("a model there is not", (*EVALUATE, "--model_name_or_path", "nobody-has-this"), "nobody-has-this: no such"),
    _bare("a task there is not", (*EVALUATE, "--tasks", "NoTask"), "--tasks: unknown task 'NoTask'; known: STS12"),
    _bare("a task in small letters", (*EVALUATE, "--tasks", "sts12"), "--tasks: unknown task 'sts12'"),
    _bare("a second task there is not", (*EVALUATE, "--tasks", "MR", "RM"), "--tasks: unknown task 'RM'"),
    _bare("a task without a name", (*EVALUATE, "--tasks", ""), "--tasks: unknown task ''"),
    _bare("no tasks", (*EVALUATE, "--tasks"), "nothing to score: name tasks with --task_set or --tasks"),
    _bare("the empty task set", (*EVALUATE, "--task_set", "na"), "nothing to score: name tasks with --task_set"),
    _bare("a task set there is not", (*EVALUATE, "--task_set", "all"), "--task_set: invalid choice: 'all'"),
    _bare("no dev split", (*EVALUATE, "--tasks", "STS12", "--mode", "dev"), "nothing to score"),
    _wrong("--mode fast", "--mode: invalid choice: 'fast'"),
    _wrong("--pooler max", "--pooler: invalid choice: 'max'"),
    _wrong("--transfer_metric f1", "--transfer_metric: invalid choice: 'f1'"),
    _wrong("--batch_size 0", "--batch_size must be at least 1, not 0"),
    _wrong("--batch_size -1", "--batch_size must be at least 1, not -1"),
    _wrong("--batch_size 1.5", "--batch_size: invalid int value: '1.5'"),
    _wrong("--max_seq_length 0", "--max_seq_length must be at least 3, not 0"),
    _wrong("--max_seq_length 2", "--max_seq_length must be at least 3, not 2"),
    _wrong("--max_seq_length 65", "max_seq_length 65 is outside", "64, this model's limit"),
    _wrong("--max_seq_length long", "--max_seq_length: invalid int value: 'long'"),
    _wrong("--device gpu", "device 'gpu' cannot be used"),
    _wrong("--device meta", "device 'meta' cannot be used: it computes no numbers"),
    _wrong("--device cuda:-1", "device 'cuda:-1' cannot be used"),
    _wrong("--devcie cpu", "unknown option --devcie; did you mean --device?"),
    _wrong("--model out", "unknown option --model"),
    _wrong("--task STS12", "unknown option --task; did you mean --tasks?"),
    Case("a device without a name", (*EVALUATE, "--device", ""), ("--device is empty; give it a value",)),
    Case("a data folder without a name", (*EVALUATE, "--senteval_data", ""), ("--senteval_data is empty",)),
    _wrong("--eval_path {folder}/none.csv", "--validation_file {folder}/none.csv: no such file"),
    _wrong(
        "--validation_file {folder}/v.csv",
        "line 3: the score 'x' is not a number",
        name="a word for a score",
        make=file("v.csv", "sentence1,sentence2,score\na,b,1\nc,d,x\n"),
    ),
    _wrong("--output_json {folder}", "--output_json {folder} is a folder; name a file"),
    _wrong("--output_json {folder}/good.csv/x.json", "good.csv is a file, no folder; name another folder"),
    Case("output: without a name", (*EVALUATE, "--output_json", ""), ("--output_json is empty",)),
    Case("output: a name too long", (*EVALUATE, "--output_json", "x" * 300), ("xx: File name too long",)),
    _wrong("--output_json {folder}/good.txt", "good.txt: there is a file that holds no scores; name another"),
    _output("broken JSON", '{"tasks": {'),
    _output("binary", bytes(range(256))),
    _output("a list", "[1]"),
    _output("JSON without tasks", json.dumps({"temperature": 1})),
    _output("tasks that are a number", json.dumps({"tasks": 3})),
    _output("nested without an end", "[" * 100_000),
    _wrong("--senteval_data {folder}/none", NOTHING),
    _wrong("--senteval_data {folder}/good.txt", NOTHING),
    _data("missing files", _missing),
    _data("folders for files", _folders),
    _data("empty files", _each(lambda content: b"")),
    _data("a line too few", _each(lambda content: content[content.index(b"\n") + 1 :])),
    _data("a line too many", _each(lambda content: content + content[content.rstrip(b"\n").rindex(b"\n") + 1 :])),
    _data("words for scores", _each(_no_number)),
    _data("scores that are NaN", _each(lambda content: content.replace(b"4.6", b"nan"))),
    _data("cut in a line", _each(_truncated)),
    _data("binary", _each(lambda content: bytes(range(256)))),
    _data("UTF-16", _each(lambda content: content.decode().encode("utf-16"))),
    _data("latin-1", _each(lambda content: content.replace(b"a mat", b"a \xe9t\xe9").replace(b"cat", b"ch\xe2t"))),
    _data("commas for tabs", _each(lambda content: content.replace(b"\t", b","))),
    _data("broken links", lambda place: (_missing(place), _linked(place))),
]


def _linked(place: Place) -> None:
    os.symlink("none", place.senteval / "downstream" / "STS" / "STSBenchmark" / "sts-test.csv")
