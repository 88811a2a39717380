"""`senteval`: data that is missing or broken, for each of its readers."""

from collections.abc import Callable
from typing import Any

import numpy as np

import senteval
from bad_input.case import Case, Place

STSB = "STS/STSBenchmark/sts-train.csv"
SICK = "SICK/SICK_train.txt"
STS16 = "STS/STS16-en-test/STS.{}.answer-answer.txt"
PAIR = "g\tf\ty\t1\t3.0\tone\tother\n"
SICK_HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"


def of_task(task: str, folder: str = "") -> Callable[[Place], Any]:
    """Evaluates a task on the place's data, or on what lies in another folder."""
    return lambda place: senteval.engine.SE(
        {"task_path": place / folder if folder else place.senteval}, lambda params, batch: np.ones((len(batch), 2))
    ).eval(task)


def holds(files: dict[str, str | bytes], under: str = "downstream") -> Callable[[Place], None]:
    """Writes data files."""

    def make(place: Place) -> None:
        for name, content in files.items():
            path = place.senteval / under / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def broken(
    what: str, task: str, name: str, content: str | bytes, says: str, others: dict[str, str] | None = None
) -> Case:
    """A file with this in it, and what is said: after its name, if it begins like that, or of another one."""
    where = f"{{senteval}}/downstream/{name}" if says[0] in ",:" else ""
    make = holds({**(others or {}), name: content})
    return Case(f"{task}: {what}", of_task(task), (where + says,), make, senteval.DataError)


def replaced_by_a_folder(place: Place) -> None:
    path = place.senteval / "downstream" / STSB
    path.unlink()
    path.mkdir()


def cut_short(place: Place) -> None:
    """Within a line, as a download that broke off."""
    path = place.senteval / "downstream" / "STS" / "STSBenchmark" / "sts-dev.csv"
    path.write_bytes(path.read_bytes()[:-30])


def without_its_last_line(place: Place) -> None:
    path = place.senteval / "downstream" / "SICK" / "SICK_trial.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


FOLDERS = [
    Case("no folder", of_task("STSBenchmark", "none"), ("{folder}/none/downstream/", "No such file"),
         None, senteval.DataError),
    Case("an empty downstream/", of_task("MRPC"), ("MRPC/msr_paraphrase_train.txt: No such file",),
         None, senteval.DataError),
    Case("a folder for a file", of_task("STSBenchmark"), (f"{STSB}: Is a directory",), replaced_by_a_folder,
         senteval.DataError),
    Case("a file cut within a line", of_task("STSBenchmark"), ("sts-dev.csv, line 24: ", "expected at least 7"),
         cut_short, senteval.DataError),
    Case("a line too few", of_task("SICKRelatedness"), ("SICKRelatedness in {senteval}: 23 samples in 'dev', exp",),
         without_its_last_line, senteval.DataError),
]  # fmt: skip

STS = [
    broken("too few fields", "STSBenchmark", STSB, PAIR + "only one field\n",
           ", line 2: 1 tab-separated fields, expected at least 7"),
    broken("a score in words", "STSBenchmark", STSB, PAIR.replace("3.0", "three"),
           ", line 1: the score 'three' is not a number"),
    broken("a score over 5", "STSBenchmark", STSB, PAIR.replace("3.0", "33"), ", line 1: the score 33 is not from 0"),
    broken("latin-1", "STSBenchmark", STSB, PAIR.replace("other", "café").encode("latin-1"),
           ", line 1: not utf-8 (unexpected end of data)"),
    broken("quoted as in .csv", "STSBenchmark", STSB, PAIR.replace("one", '"he said ""hi"""'),
           ", line 1: '\"he said \"\"hi\"\"\"' is quoted as in .csv; write it without quoting"),
    broken("empty", "STSBenchmark", STSB, b"", ": no sentence pairs"),
    broken("fields missing", "SICKRelatedness", SICK, SICK_HEADER + "1\ta cat\ta dog\n", ", line 2: 3 tab-separated"),
    broken("pairs without scores", "STS16", STS16.format("input"), "a\tb\n",
           "STS.gs.answer-answer.txt: No such file or directory"),
    broken("fewer scores than pairs", "STS16", STS16.format("gs"), "3.0\n",
           ": 1 scores for the 2 pairs of STS.input.answer-answer.txt", {STS16.format("input"): "a\tb\nc\td\n"}),
    broken("a pair of one sentence", "STS16", STS16.format("input"), "a\tb\nc\n",
           ", line 2: 1 tab-separated fields, expected at least 2", {STS16.format("gs"): "3.0\n2.0\n"}),
]  # fmt: skip

POLARITY = {"MR/rt-polarity.neg": "bad\n"}
LABELLED = [
    broken("one class is missing", "MR", "MR/rt-polarity.pos", "good\n", "rt-polarity.neg: No such file"),
    broken("binary", "MR", "MR/rt-polarity.pos", bytes(range(256)), ", line 1: not latin-1 (a NUL)", POLARITY),
    broken("another number of samples", "MR", "MR/rt-polarity.pos", "good\n",
           "2 samples in 'all', expected 10662", POLARITY),
    broken("no label", "SST2", "SST/binary/sentiment-train", "fine\t1\nno label\n", ", line 2: 1 tab-separated fields"),
    broken("a third label", "SST2", "SST/binary/sentiment-train", "fine\t1\nbad\t2\n",
           ", line 2: the label '2' is not one of 0, 1"),
    broken("a label without its end", "TREC", "TREC/train_5500.label", "DESC manner How ?\n",
           ", line 1: the label 'DESC manner How ?' is not one of ABBR, DESC"),
]  # fmt: skip


def probing(what: str, content: str, says: str) -> Case:
    return Case(
        f"Tense: {what}",
        of_task("Tense"),
        (f"{{senteval}}/probing/past_present.txt{says}",),
        holds({"past_present.txt": content}, "probing"),
        senteval.DataError,
    )


PROBING = [
    Case("Tense: no file", of_task("Tense"), ("probing/past_present.txt: No such file",), None, senteval.DataError),
    probing("an unknown split", "tr\tPAST\tit ran\ndev\tPAST\tit sat\n", ", line 2: the split 'dev' is not tr, va"),
    probing("a split is missing", "tr\tPAST\tit ran\nte\tPAST\tit sat\n", ": no samples of the split 'va'"),
    probing("a label that is not trained on", "tr\tPAST\tit ran\nva\tPRES\tit runs\n", ": the label 'PRES' of 'va' do"),
]  # fmt: skip

CASES = [*FOLDERS, *STS, *LABELLED, *PROBING]
