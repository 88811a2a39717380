"""The permissions of written files follow the umask."""

import os
from pathlib import Path

import pytest

from mixcse import SentenceEncoder
from mixcse.base.files import write_json
from mixcse.encoder import encode_command as encode
from mixcse.train import run as training


@pytest.fixture(params=[0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def check_modes(folder: Path, umask: int) -> None:
    wrong = {
        str(path.relative_to(folder)): oct(mode)
        for path in [folder, *folder.rglob("*")]
        if (mode := path.lstat().st_mode & 0o7777) != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}


def test_modes_of_a_run(umask, command, bare_runs, tmp_path):
    pytest.importorskip("peft")
    training.main([*command, "--max_steps", "4", "--lora_rank", "2"])
    files = {path.name for path in (tmp_path / "out").rglob("*")}
    assert files >= {"checkpoint-4", "optimizer.pt", "rng_state.pth", "adapter_model.safetensors", "README.md"}
    check_modes(tmp_path / "out", umask)


def test_modes_of_embeddings_and_indexes(umask, tiny_bert, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("a cat\na dog\nthe mat\n")
    out = tmp_path / "out"
    for kind in ("npy", "parquet", "jsonl"):
        encode.main(["--model", str(tiny_bert), str(sentences), "--output", str(out / "embeddings" / f"all.{kind}")])
    encoder = SentenceEncoder(tiny_bert)
    encoder.build_index(sentences)
    encoder.index.save(out / "index")
    write_json(out / "scores" / "scores.json", {"a": 1})
    assert len(list(out.rglob("*.*"))) == 7
    check_modes(out, umask)
