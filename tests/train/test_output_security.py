"""What is written: pages that escape what they show, paths that no data chooses, modes that follow the umask."""

import io
import json
import os
import re
import tarfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from test_report import COUNTS, HISTORY
from test_results import record

from mixcse import SentenceEncoder
from mixcse.base.files import write_json
from mixcse.data import archives
from mixcse.encoder import encode_command as encode
from mixcse.model.sentence_model import SentenceModel
from mixcse.reproduce.report import write_report
from mixcse.train import run as training
from mixcse.train.model_card import write_model_card
from mixcse.train.page import write_run_report

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&lt;</td></table></style>{{ 7 * 7 }}"""


class Elements(HTMLParser):
    """The elements of a page with their attributes' names, its addresses, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found, self.addresses, self.text = Counter(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found[tag, tuple(name for name, _ in attributes)] += 1
        self.addresses |= {value for name, value in attributes if name in ("href", "src", "xlink:href")}

    def handle_data(self, data):
        self.text.append(data)


def run_page(folder: Path, value: str) -> str:
    """A run's page whose options, metrics and notes have this value."""
    folder.mkdir(parents=True)
    names = ("model_name_or_path", "train_file", "variant", "hub_model_id", f"option {value}")
    history = [entry | ({f"eval_{value}": 0.5} if "eval_alignment" in entry else {}) for entry in HISTORY]
    for file, content in {
        "trainer_state.json": {"log_history": history},
        "arguments.json": dict.fromkeys(names, value) | {"seed": [value], "lora_rank": {value: value}},
        "train_results.json": {"seconds": 1.0, "resumed_from_step": value},
        "eval_results.json": {"step": value},
        "cosines.json": {"untrained": COUNTS, "trained": COUNTS},
    }.items():
        (folder / file).write_text(json.dumps(content))
    write_run_report(folder)
    return (folder / "report.html").read_text()


def test_a_run_page_shows_values_and_no_more(tmp_path):
    plain = Elements(run_page(tmp_path / "plain", "value"))
    hostile = Elements(run_page(tmp_path / HOSTILE.replace("/", "\\"), HOSTILE))
    assert hostile.found == plain.found
    assert hostile.addresses == plain.addresses
    assert "".join(hostile.text).count(HOSTILE) >= 8
    assert "script" not in {tag for tag, _ in hostile.found}
    assert "".join(hostile.text).count("49") == "".join(plain.text).count("49")  # not taken for a template


def results_page(results: Path, value: str) -> str:
    folder = results / "demo" / value.replace("/", "|")
    (folder / "runs").mkdir(parents=True)
    (folder / "failed").mkdir()
    for seed in (0, 1):
        for variant in ("simcse", "released"):
            model = value.replace("/", "|")
            one = record(f"{model}_{variant}_seed-{seed}", "demo", model, seed, 50 + seed, variant=variant)
            one["machine"] |= dict.fromkeys(("processor", "system", "torch"), value)
            one["options"] |= {"train_file": value.replace("/", "|"), "metric_for_best_model": value.replace("/", "|")}
            (folder / "runs" / f"{one['run']}.json").write_text(json.dumps(one))
        (folder / "failed" / f"{model}_paper_seed-{seed}.txt").write_text(f"train.py: {value}\n")
    return write_report(results)[1].read_text()


def test_the_page_of_results_shows_values_and_no_more(tmp_path):
    plain = Elements(results_page(tmp_path / "plain", "value"))
    hostile = Elements(results_page(tmp_path / "hostile", HOSTILE[:60]))
    assert hostile.found == plain.found
    assert "".join(hostile.text).count(HOSTILE[:60]) >= 3
    assert not any("<" in address or ":" in address for address in hostile.addresses)


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "other"])
def test_a_record_does_not_choose_where_anything_is_written(tmp_path, name):
    """Figures are named after models, and links after runs: a record counts under its own file's name alone."""
    results = tmp_path / "deep" / "results"
    runs = results / "demo" / "runs"
    runs.mkdir(parents=True)
    for seed in (0, 1):
        one = record(f"{name}_released_seed-{seed}", "demo", name, seed, 50)
        (runs / f"mine-{seed}.json").write_text(json.dumps(one))
    html = write_report(results)[1].read_text()
    assert "outside" not in html
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != runs]
    assert {path.relative_to(results).as_posix() for path in written} == {"report.md", "report.html"}


@pytest.mark.parametrize(
    "name", ["me/x\n---\nlicense: mit", "a: [b", "---", "'\"`]\n```bash\nrm -rf ~\n```\n# x", HOSTILE]
)
def test_a_model_card_holds_names_as_text(tiny_bert, tmp_path, name):
    model = SentenceModel.from_pretrained(tiny_bert)
    model.save_pretrained(tmp_path, recorded_pooler="cls_before_pooler")

    def card(value: str) -> ModelCard:
        options = {"model_name_or_path": value, "train_file": f"x/{value}", "optim": value, "lr_scheduler_type": value}
        scores = {"step": 1, "eval_stsb_spearman": 0.5, f"eval_{value}": 1}
        write_model_card(tmp_path, model, options, examples=1, scores=scores, name=value)
        return ModelCard.load(tmp_path / "README.md", ignore_metadata_errors=False)

    plain, hostile = card("a value"), card(name)
    front = yaml.safe_load((tmp_path / "README.md").read_text().split("\n---\n", 1)[0].removeprefix("---\n"))
    assert front.keys() == plain.data.to_dict().keys() == hostile.data.to_dict().keys()
    assert front["license"] == plain.data.license
    # Headings, rules and fences are the same, but for the name behind the first "# ".
    marks = [[re.sub("^# .*", "#", line) for line in text.splitlines() if line.startswith(("#", "---", "```"))]
             for text in (plain.content, hostile.content)]  # fmt: skip
    assert marks[0] == marks[1]


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


def test_modes_in_an_archive_are_not_taken_over(umask, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, mode, kind in (("a", 0o7777, tarfile.DIRTYPE), ("a/b", 0o6777, None), ("a/c", 0o000, None)):
            info = tarfile.TarInfo(name)
            info.mode, info.type, info.uid = mode, kind or tarfile.REGTYPE, 4711
            tar.addfile(info, io.BytesIO())
    (tmp_path / "out").mkdir()
    archives.unpack(tmp_path / "x.tar", tmp_path / "out")
    assert {path.stat().st_uid for path in (tmp_path / "out").rglob("*")} == {os.geteuid()}
    check_modes(tmp_path / "out", umask)
