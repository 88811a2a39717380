"""Shared fixtures: a tiny random BERT with its tokenizer, and the real data where it is at hand."""

import gc
import json
import os
import shutil
import string
from pathlib import Path

import huggingface_hub
import pytest
import torch
from transformers import AutoModel, BertConfig, BertTokenizerFast

SHARED = Path(__file__).parents[2] / "shared"

os.environ["HF_HUB_OFFLINE"] = "1"  # for programs that tests start
huggingface_hub.constants.HF_HUB_OFFLINE = True  # it was read when the library was imported
torch.set_num_threads(1)  # tiny models gain nothing from more, and lose much on a busy machine


FIRST = ("test_ray_engine", "test_distributed", "test_real_data", "test_senteval_tasks", "test_kills", "test_docs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: each is one process's, and all processes are then busy to the end."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory):
    """Tests leave the user's caches alone."""
    import datasets

    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")


@pytest.fixture(autouse=True)
def _speaks_anew():
    """What is said once in a program is said once in a test."""
    from mixcse.base import console

    console.once.cache_clear()


@pytest.fixture(autouse=True)
def _no_configured_data(monkeypatch):
    monkeypatch.delenv("SENTEVAL_DATA", raising=False)


_CONFIGURED = os.environ.get("SENTEVAL_DATA")


@pytest.fixture(scope="session")
def senteval_data() -> Path:
    """The folder with the real `downstream/`: $SENTEVAL_DATA, else ../shared/data/SentEval."""
    folder = Path(_CONFIGURED) if _CONFIGURED else SHARED / "data" / "SentEval"
    if not (folder / "downstream").is_dir():
        pytest.skip("needs the real SentEval data: set SENTEVAL_DATA to the folder that holds downstream/")
    return folder


@pytest.fixture(scope="session")
def wiki_file() -> Path:
    """Real lines of the paper's corpus."""
    path = SHARED / "data" / "wiki" / "wiki1m_first_12k.txt"
    if not path.is_file():
        pytest.skip("needs real lines of the paper's corpus, which lie in ../shared/data/wiki")
    return path


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Characters and a few words; the vocabulary of every tiny model here."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "dog", "sat", "ran", "mat"]
    letters = list(string.ascii_lowercase + string.digits + ".,'")
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys([*words, *letters, *(f"##{letter}" for letter in letters)])))
    return BertTokenizerFast(vocab=str(path), vocab_file=str(path), model_max_length=64)


@pytest.fixture(scope="session")
def tiny_sizes(tokenizer):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,  # large, so that a random model tells sentences apart
    }


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory, tokenizer, tiny_sizes) -> Path:
    """A folder with a random BERT of 16 dimensions; do not write into it."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    AutoModel.from_config(BertConfig(**tiny_sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


NOUNS = ("cat", "dog", "mat", "bird", "house", "river", "train", "teacher")
VERBS = ("sat on", "ran to", "saw", "left", "found", "liked")


@pytest.fixture(scope="session")
def toy_sentences() -> list[str]:
    return [f"the {one} {verb} the {two}" for one in NOUNS for verb in VERBS for two in NOUNS if one != two]


def write_toy_senteval(folder: Path) -> Path:
    """A complete-looking `downstream/` with a few pairs a file: the counts are not the real ones."""
    pairs = [
        (f"the {one} {verb} the {two}", f"the {one} {verb} a {two if same else 'mat'}", 4.6 if same else 1.4)
        for one in NOUNS[:4]
        for verb in VERBS[:3]
        for two, same in (("river", True), ("train", False))
    ]
    downstream = folder / "downstream"
    benchmark, sick = downstream / "STS" / "STSBenchmark", downstream / "SICK"
    benchmark.mkdir(parents=True)
    sick.mkdir()
    for split in ("train", "dev", "test"):
        rows = [f"toy\tx\t0\t{i}\t{score}\t{a}\t{b}" for i, (a, b, score) in enumerate(pairs)]
        (benchmark / f"sts-{split}.csv").write_text("\n".join(rows) + "\n")
    for name in ("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt"):
        rows = ["pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"]
        rows += [f"{i}\t{a}\t{b}\t{score}\tNEUTRAL" for i, (a, b, score) in enumerate(pairs)]
        (sick / name).write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture()
def toy_senteval(tmp_path, monkeypatch) -> Path:
    """STS-B and SICK-R with 24 pairs a split, and the task table told so."""
    return make_toy_senteval(tmp_path, monkeypatch)


def make_toy_senteval(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write toy data to `folder/senteval`, and patch the sample counts of its tasks."""
    import dataclasses

    from senteval.tasks import TASKS

    for name in ("STSBenchmark", "SICKRelatedness"):
        counts = dict.fromkeys(("train", "dev", "test"), 24)
        patch.setitem(TASKS, name, dataclasses.replace(TASKS[name], counts=counts))
    return write_toy_senteval(folder / "senteval")


@pytest.fixture()
def command(tiny_bert, tmp_path, toy_sentences, toy_senteval):
    """The arguments of a 6-step run with an evaluation every 2 steps; `tmp_path/out` is its folder."""
    return _command(tmp_path, tiny_bert, toy_sentences, toy_senteval)


def _command(folder: Path, model: Path, sentences: list[str], senteval_data: Path) -> list[str]:
    train_file = folder / "train.txt"
    train_file.write_text("\n".join(sentences[:64]))
    return [
        *("--model_name_or_path", str(model), "--train_file", str(train_file)),
        *("--output_dir", str(folder / "out"), "--senteval_data", str(senteval_data)),
        *("--max_steps", "6", "--per_device_train_batch_size", "8", "--learning_rate", "1e-2"),
        *("--do_train", "--do_eval", "--eval_steps", "2"),
    ]


@pytest.fixture(scope="session")
def whole(tmp_path_factory, tiny_bert, toy_sentences) -> Path:
    """What the run of `command` leaves, without its curves; do not write into it."""
    from mixcse.train import run as training

    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixcse.train.ending.draw", lambda folder: None)
        senteval_data = make_toy_senteval(folder, patch)
        training.main(_command(folder, tiny_bert, toy_sentences, senteval_data))
    return folder / "out"


@pytest.fixture()
def finished(whole, command, tmp_path) -> Path:
    """`tmp_path/out`, as if `command` had been run to its end."""
    out = shutil.copytree(whole, tmp_path / "out")
    noted = json.loads((out / "arguments.json").read_text())
    (out / "arguments.json").write_text(json.dumps(noted | {"train_file": command[3]}))
    return out


class Killed(Exception):
    """Stands for a signal that the program does not see."""


@pytest.fixture()
def killed_after(monkeypatch):
    """Return a function that runs a command until a step's checkpoint is complete, and ends the run like SIGKILL."""
    from mixcse.train import run as training
    from mixcse.train.callbacks import AddChecksums

    def kill(step: int, command: list[str]) -> None:
        save = AddChecksums.on_save

        def save_then_die(self, args, state, *rest, **more):
            save(self, args, state, *rest, **more)
            if state.global_step == step:
                raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(AddChecksums, "on_save", save_then_die)
            training.main(command)

    return kill


@pytest.fixture()
def undrawn(monkeypatch):
    """Runs without figures, which take longer than a tiny run."""
    monkeypatch.setattr("mixcse.train.ending.draw", lambda folder: None)


@pytest.fixture()
def bare_runs(undrawn, monkeypatch):
    """Run without figures and without long collections of garbage, which are most of a tiny run's time."""
    gc.freeze()  # the Trainer collects garbage, and would look through all that the libraries have made


@pytest.fixture()
def flags(tiny_bert, tmp_path, toy_sentences) -> list[str]:
    """Of `run`: a tiny encoder, 4 steps, folders of its own, no SentEval data."""
    train_file = tmp_path / "train.txt"
    train_file.write_text("\n".join(toy_sentences[:64]))
    return [
        *("--scale", "demo", "--results_dir", str(tmp_path / "results"), "--work_dir", str(tmp_path / "work")),
        *("--model_name_or_path", str(tiny_bert), "--train_file", str(train_file), "--learning_rate", "1e-2"),
        *("--max_steps", "4", "--eval_steps", "2", "--per_device_train_batch_size", "8"),
        *("--senteval_data", str(tmp_path / "none")),
    ]


@pytest.fixture()
def in_process(bare_runs, monkeypatch):
    """Calls instead of processes, which take seconds to start; counts them."""
    from mixcse.base.errors import UserError
    from mixcse.evaluate import command as evaluation
    from mixcse.reproduce import runner
    from mixcse.train import run as training

    calls = []

    def execute(script, arguments, log_file, bar):
        calls.append((script, list(arguments)))
        try:
            (training if script == "train.py" else evaluation).main(list(arguments))
        except UserError as error:
            raise runner.RunFailed(f"{script}: {error}") from error

    monkeypatch.setattr(runner, "_execute", execute)
    return calls
