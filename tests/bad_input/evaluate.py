"""`mixcse evaluate`: its options, what it writes to, and broken SentEval data."""

import json
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


def _missing(place: Place) -> None:
    for path in (place.senteval / "downstream").rglob("*test*"):
        path.unlink()


CASES = [
    _bare("no model", ("evaluate",), "the following arguments are required: --model/--model_name_or_path"),
    _bare("a model without a name", (*EVALUATE, "--model_name_or_path", ""), "--model is empty"),
    _bare("a model there is not", (*EVALUATE, "--model_name_or_path", "nobody-has-this"), "nobody-has-this: no such"),
    _bare("a task there is not", (*EVALUATE, "--tasks", "NoTask"), "--tasks: unknown task 'NoTask'; known: STS12"),
    _bare("no tasks", (*EVALUATE, "--tasks"), "nothing to score: name tasks with --task_set or --tasks"),
    _bare("a task set there is not", (*EVALUATE, "--task_set", "all"), "--task_set: invalid choice: 'all'"),
    _bare("no dev split", (*EVALUATE, "--tasks", "STS12", "--mode", "dev"), "nothing to score"),
    _wrong("--mode fast", "--mode: invalid choice: 'fast'"),
    _wrong("--pooler median", "--pooler: invalid choice: 'median'"),
    _wrong("--batch_size 0", "--batch_size must be at least 1, not 0"),
    _wrong("--batch_size 1.5", "--batch_size: invalid int value: '1.5'"),
    _wrong("--max_seq_length 2", "--max_seq_length must be at least 3, not 2"),
    _wrong("--max_seq_length 65", "max_seq_length 65 is outside", "64, this model's limit"),
    _wrong("--device gpu", "device 'gpu' cannot be used"),
    _wrong("--device meta", "device 'meta' cannot be used"),
    _wrong("--devcie cpu", "unknown option --devcie; did you mean --device?"),
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
    _wrong("--output_json {folder}/good.txt", "good.txt: there is a file that holds no scores; name another"),
    _output("broken JSON", '{"tasks": {'),
    _output("a list", "[1]"),
    _output("JSON without tasks", json.dumps({"temperature": 1})),
    _wrong("--senteval_data {folder}/none", "no SentEval data in {folder}/none: python -m mixcse.fetch gets it"),
    _wrong("--senteval_data {folder}/good.txt", "no SentEval data in {folder}/good.txt"),
    _data("missing files", _missing),
]
