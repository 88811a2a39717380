"""Nothing that a model, a checkpoint, an index or a data set brings along is executed by loading it."""

import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mixcse import SentenceEncoder, cli
from mixcse.base.errors import UserError
from mixcse.base.program import run_cli
from mixcse.encoder.index import SentenceIndex
from mixcse.evaluate import command as evaluation
from mixcse.model.loading import hub_commit
from mixcse.model.sentence_model import HEADS_FILE, SentenceModel
from mixcse.train import checkpoints
from mixcse.train import run as training

TRACE = "it-was-executed"
CODE = """from pathlib import Path
Path({trace!r}).touch()
from transformers import BertConfig, BertModel, BertTokenizerFast
class OwnConfig(BertConfig):
    model_type = "own"
class OwnModel(BertModel):
    config_class = OwnConfig
class OwnTokenizer(BertTokenizerFast):
    pass
"""


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture()
def trace(tmp_path) -> Path:
    return tmp_path / TRACE


def torch_file(trace: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": Evil(trace), "state": {}}, buffer)
    return buffer.getvalue()


def test_the_pickles_of_these_tests_do_execute(trace):
    pickle.loads(pickle.dumps(Evil(trace)))
    assert trace.exists()
    trace.unlink()
    torch.load(io.BytesIO(torch_file(trace)), weights_only=False)
    assert trace.exists()


KINDS = {"torch": torch_file, "pickle": lambda trace: pickle.dumps(Evil(trace))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors", HEADS_FILE])
def test_weights(tiny_bert, tmp_path, trace, kind, file):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    if file == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / file).write_bytes(KINDS[kind](trace))
    with pytest.raises(UserError):
        SentenceModel.from_pretrained(folder)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_adapters_in_a_model_folder(tiny_bert, tmp_path, trace, suffix):
    """Transformers applies those that lie beside the weights."""
    peft = pytest.importorskip("peft")
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    peft.LoraConfig(base_model_name_or_path=str(tiny_bert), target_modules=["query"]).save_pretrained(folder)
    (folder / f"adapter_model.{suffix}").write_bytes(torch_file(trace))
    with pytest.raises(UserError):
        SentenceModel.from_pretrained(folder)
    assert not trace.exists()


def put_into_checkpoints(folder: Path, file: str, content: bytes) -> None:
    """Replace a file in all checkpoints, with checksums that match it, so that they are loaded."""
    (folder / "train_results.json").unlink(missing_ok=True)
    for checkpoint in folder.glob("checkpoint-*"):
        (checkpoint / file).write_bytes(content)
        checkpoints.write_checksums(checkpoint)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"])
def test_checkpoints(command, bare_runs, killed_after, tmp_path, trace, capsys, kind, file):
    killed_after(2, command)
    put_into_checkpoints(tmp_path / "out", file, KINDS[kind](trace))
    with pytest.raises(Exception):  # noqa: B017 - each library has its own
        training.main(command)
    assert "continuing from" in capsys.readouterr().err
    assert not trace.exists()


def test_the_embeddings_of_an_index(tiny_bert, tmp_path, trace):
    encoder = SentenceEncoder(tiny_bert)
    encoder.build_index(["a cat", "a dog"])
    encoder.index.save(tmp_path / "index")
    evil = np.array([[Evil(trace)], [Evil(trace)]], dtype=object)
    np.save(tmp_path / "index" / "embeddings.npy", evil, allow_pickle=True)
    with pytest.raises(UserError, match="not a usable index"):
        SentenceIndex.load(tmp_path / "index")
    (tmp_path / "index" / "embeddings.npy").write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(UserError, match="not a usable index"):
        SentenceIndex.load(tmp_path / "index")
    assert not trace.exists()


@pytest.mark.parametrize("config", ["pandas", None])
def test_data_sets(command, tmp_path, trace, capsys, monkeypatch, config):
    """Of a folder with a pickle and a loading script; also by the name of a format whose files are pickles."""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.pkl").write_bytes(pickle.dumps(Evil(trace)))
    (folder / "set.py").write_text(f"from pathlib import Path\nPath({str(trace)!r}).touch()\n")
    monkeypatch.chdir(folder)
    at = command.index("--train_file")
    command[at : at + 2] = ["--dataset_name", config or str(folder)]
    assert run_cli(training.main, command) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not trace.exists()
    assert not (tmp_path / "out").exists()


@pytest.fixture()
def with_code(tiny_bert, tmp_path, trace, monkeypatch) -> Path:
    """A model folder of an architecture of its own, whose code leaves a trace."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = shutil.copytree(tiny_bert, tmp_path / "with-code")
    (folder / "own.py").write_text(CODE.format(trace=str(trace)))
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": own}))
    return folder


def entry_points(model: Path, tmp_path: Path, command: list[str]) -> dict[str, list[str]]:
    (tmp_path / "lines.txt").write_text("a cat\na dog\n")
    lines = str(tmp_path / "lines.txt")
    return {
        "train": ["train", *command, "--model_name_or_path", str(model)],
        "evaluate": [
            "evaluate",
            "--model_name_or_path",
            str(model),
            "--tasks",
            "STSBenchmark",
            "--senteval_data",
            str(tmp_path / "senteval"),
        ],
        "encode": ["encode", "--model", str(model), lines],
        "search": ["search", "--model", str(model), "--corpus", lines, "a cat"],
    }


@pytest.mark.parametrize("entry", ["train", "evaluate", "encode", "search"])
def test_code_of_a_model_is_refused(entry, with_code, tmp_path, command, trace, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))  # sentences, and no answers to a question
    assert run_cli(cli.main, entry_points(with_code, tmp_path, command)[entry]) == 2
    said = capsys.readouterr()
    assert f"error: {with_code}: it needs program code that it brings along" in said.err
    assert "--trust_remote_code" in said.err.splitlines()[-1]
    assert "[y/N]" not in said.out + said.err
    assert not trace.exists()


def test_code_beside_a_known_architecture_is_not_run(tiny_bert, with_code, trace):
    config = json.loads((with_code / "config.json").read_text()) | {"model_type": "bert"}
    (with_code / "config.json").write_text(json.dumps(config))
    encoder = SentenceEncoder(with_code)
    assert np.array_equal(encoder.encode(["a cat"]), SentenceEncoder(tiny_bert).encode(["a cat"]))
    assert not trace.exists()


def test_an_adapter_does_not_lead_to_code(with_code, tmp_path, trace):
    """The folder of an adapter alone names its base model, which transformers follows."""
    peft = pytest.importorskip("peft")
    folder = tmp_path / "adapter"
    peft.LoraConfig(base_model_name_or_path=str(with_code), target_modules=["query"]).save_pretrained(folder)
    with pytest.raises(UserError):
        SentenceModel.from_pretrained(folder)
    assert not trace.exists()


def test_code_is_run_where_it_is_trusted(with_code, tmp_path, command, bare_runs, trace, capsys):
    """Training too, which loads the best checkpoint in the end; and what it leaves."""
    training.main([*command, "--model_name_or_path", str(with_code), "--trust_remote_code", "--max_steps", "4"])
    assert trace.exists()
    out = str(tmp_path / "out")
    trained = ["--model_name_or_path", out, "--task_set", "na", "--validation_file", str(tmp_path / "pairs.csv")]
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2,score\na cat,the cat,5\na dog,a mat,1\na,the,3\n")
    evaluation.main([*trained, "--trust_remote_code"])
    for command in ("encode", "search"):
        words = entry_points(Path(out), tmp_path, [])[command]
        assert run_cli(cli.main, [*words, "--trust_remote_code"]) == 0
    capsys.readouterr()
    assert isinstance(SentenceEncoder(out, trust_remote_code=True).encode(["a"]), np.ndarray)


def test_a_run_notes_the_commit_of_its_model(tiny_bert, tmp_path, command, bare_runs, monkeypatch):
    """Of a branch, which may be another commit tomorrow; and another revision is another model."""
    cache, commits = tmp_path / "cache", ["a" * 40, "b" * 40]
    for commit in commits:
        shutil.copytree(tiny_bert, cache / "models--me--model" / "snapshots" / commit)
    (cache / "models--me--model" / "refs").mkdir()
    (cache / "models--me--model" / "refs" / "main").write_text(commits[0])
    command += ["--model_name_or_path", "me/model", "--cache_dir", str(cache), "--max_steps", "2"]
    training.main(command)
    assert json.loads((tmp_path / "out" / "train_results.json").read_text())["model_commit"] == commits[0]
    assert hub_commit("me/model", commits[1], str(cache)) == commits[1]
    assert hub_commit("me/model", "c" * 40, str(cache)) is None
    assert hub_commit(str(tiny_bert)) is None
