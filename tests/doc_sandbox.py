"""The folder in which a page of the docs runs: it looks like a clone of the project in use, and all in it is small."""

import dataclasses
import gzip
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import write_toy_senteval
from doc_pages import ROOT
from families import write_decoder

from mixcse.data.fetch import CORPUS
from senteval.tasks import TASKS

# Under these names lies a tiny random BERT: a folder goes before a model of the Hub.
MODELS = ("bert-base-uncased", "xlm-roberta-base", "answerdotai/ModernBERT-base", "ENCODER")
DECODER = "Qwen/Qwen3-0.6B"
DATA_SET = "fancyzhx/ag_news"
TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
COUNTS = {name: dict.fromkeys(("train", "dev", "test"), 24) for name in ("STSBenchmark", "SICKRelatedness")}
COUNTS |= {"MR": {"all": 40}, "TREC": {"train": 60, "test": 12}}


def fill_sandbox(folder: Path, tiny_bert: Path, trained: Path, sentences: list[str]) -> None:
    """Models, corpora of every kind that the pages name, a trained `result/demo`, toy SentEval data."""
    for name in MODELS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(tiny_bert)
    write_decoder(folder / DECODER, "qwen3", max_position_embeddings=128)
    shutil.copytree(trained, folder / "result" / "demo")
    shutil.copytree(ROOT / "data" / "sample", folder / "data" / "sample")
    (folder / "results").mkdir()
    for name in ("sentences.txt", "wiki1m_first_12k.txt", f"data/{CORPUS}", "more.txt.gz"):
        _write(folder / name, sentences[:40])
    _write(folder / "queries.txt", [sentences[3], "", sentences[5]])
    records = [json.dumps({"text": sentence}) for sentence in sentences[:16]]
    for name in ("shards/part-0.jsonl.gz", "shards/part-1.jsonl.gz", f"{DATA_SET}/train.jsonl"):
        _write(folder / name, records)
    data = write_toy_senteval(folder / "SentEval" / "data")
    (folder / "DIR").symlink_to(data)
    for label, verb in (("pos", "liked"), ("neg", "left")):
        _write(data / "downstream/MR" / f"rt-polarity.{label}", [f"the cat {verb} the dog {i}" for i in range(20)])
    for name, each in (("train_5500", 10), ("TREC_10", 2)):
        questions = [f"{label}:x the cat {i} ran ?" for label in TREC_LABELS for i in range(each)]
        _write(data / "downstream/TREC" / f"{name}.label", questions)


def tell_libraries(patch: pytest.MonkeyPatch) -> None:
    """That the data is here, how much of it is a complete copy, and that caches of the user are not to be touched."""
    patch.setenv("SENTEVAL_DATA", "SentEval/data")  # the default is the real clone's
    patch.setenv("MTEB_CACHE", "mteb-cache")
    for name, numbers in COUNTS.items():
        patch.setitem(TASKS, name, dataclasses.replace(TASKS[name], counts=numbers))


def toy_mteb(patch: pytest.MonkeyPatch) -> None:
    """Gives MTEB's STS tasks, which would be downloaded, a few pairs each."""
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS

    pairs = [{"sentence1": f"the cat {i}", "sentence2": f"a dog {i * i % 7}", "score": float(i % 5)} for i in range(20)]

    def load_data(task: AbsTaskSTS, **_: object) -> None:
        task.dataset = DatasetDict({split: Dataset.from_list(pairs) for split in task.metadata.eval_splits})
        task.data_loaded = True

    patch.setattr(AbsTaskSTS, "load_data", load_data)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
