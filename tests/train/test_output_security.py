"""What a run writes: a page that escapes what it shows, modes that follow the umask."""

import os
import shutil
from pathlib import Path

import pytest
from page_elements import HOSTILE, Elements

from mixcse import SentenceEncoder
from mixcse.base.files import read_json, write_json
from mixcse.encoder import encode_command as encode
from mixcse.model.sentence_model import SentenceModel
from mixcse.train import run as training
from mixcse.train.page import write_run_report


def run_page(folder: Path, value: str) -> str:
    """Of a run whose options, metrics and notes have this value."""
    options = read_json(folder / "arguments.json")
    noted = dict.fromkeys(("model_name_or_path", "train_file", "variant", "hub_model_id", f"option {value}"), value)
    write_json(folder / "arguments.json", options | noted | {"seed": [value], "lora_rank": {value: value}})
    state = read_json(folder / "trainer_state.json")
    for entry in state["log_history"]:
        entry |= {f"eval_{value}": 0.5} if "eval_alignment" in entry else {}
    write_json(folder / "trainer_state.json", state)
    write_json(folder / "train_results.json", {"seconds": 1.0, "resumed_from_step": value})
    write_json(folder / "eval_results.json", read_json(folder / "eval_results.json") | {"step": value})
    write_run_report(folder)
    return (folder / "report.html").read_text()


def test_a_run_page_shows_values_and_no_more(whole, tmp_path):
    names = ("plain", HOSTILE.replace("/", "\\"))
    plain, hostile = (
        Elements(run_page(shutil.copytree(whole, tmp_path / name), value))
        for name, value in zip(names, ("value", HOSTILE), strict=True)
    )
    assert hostile.found == plain.found
    assert hostile.addresses == plain.addresses
    assert "".join(hostile.text).count(HOSTILE) >= 8
    assert "script" not in {tag for tag, _ in hostile.found}
    assert "".join(hostile.text).count("49") == "".join(plain.text).count("49")  # not taken for a template


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
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


def test_modes_of_a_run(umask, command, bare_runs, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    if umask == 0o002:
        monkeypatch.undo()  # the page and its picture too, once
    training.main([*command, "--max_steps", "4", "--lora_rank", "2"])
    files = {path.name for path in (tmp_path / "out").rglob("*")}
    assert files >= {"checkpoint-4", "optimizer.pt", "rng_state.pth", "adapter_model.safetensors", "README.md"}
    check_modes(tmp_path / "out", umask)


def test_modes_of_a_saved_model(umask, tiny_bert, tmp_path):
    SentenceModel.from_pretrained(tiny_bert).save_pretrained(tmp_path / "saved", recorded_pooler="avg_top2")
    check_modes(tmp_path / "saved", umask)


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
