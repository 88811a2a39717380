"""README and docs: every block runs, every link leads somewhere, everything that is named exists.

The blocks of a page run in their order, in a folder that looks like a clone of the project with small data in it.  A
block that needs a GPU, a network or hours says so, and is only checked: ```bash not run: REASON.
"""

import gzip
import json
import re
import tomllib
from pathlib import Path

import doc_pages
import pytest
from doc_pages import PAGES, ROOT, blocks
from doc_shell import run_bash, served_programs
from families import write_decoder
from torch.distributed.run import get_args_parser

from mixcse.reproduce.experiment import load_experiments
from mixcse.train.parsing import StrictParser

FILES = {"csv", "tsv", "jsonl"}  # which later blocks read
SHOWN = {"text", "math", "bibtex", "diff", "toml"}  # test_contributing.py applies the last two


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    with served_programs(tmp_path_factory.mktemp("bin")) as path:
        yield path


@pytest.fixture()
def clone(tmp_path, monkeypatch, tiny_bert, whole, toy_sentences, toy_senteval) -> None:
    """Make the current folder a small clone: programs, models, corpora, SentEval data, a trained `result/demo`."""
    lines = "".join(f"{sentence}\n" for sentence in toy_sentences[:40])
    records = "".join(f"{json.dumps({'text': sentence})}\n" for sentence in toy_sentences[:16])
    texts = {".venv/bin/activate": "", "sentences.txt": lines, "more.txt.gz": lines, "queries.txt": "a cat\n\na dog\n"}
    texts |= dict.fromkeys(("shards/0.jsonl.gz", "shards/1.jsonl.gz", "fancyzhx/ag_news/train.jsonl"), records)
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        content = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    links = {name: ROOT / name for name in ("train.py", "evaluation.py", "data")}
    links |= {"bert-base-uncased": tiny_bert, "SentEval/data": toy_senteval, "result/demo": whole}
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target)
    write_decoder(tmp_path / "Qwen/Qwen3-0.6B", "qwen3", max_position_embeddings=128)
    monkeypatch.setenv("SENTEVAL_DATA", "SentEval/data")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_blocks_run(page, clone, path):
    namespace = {"__name__": "__main__"}  # of all python blocks, as in a notebook
    for language, file, text in blocks(page):
        marked = file.startswith("not run: ")
        if language == "bash":
            run_bash(text, path, *["-n"] * marked)
        elif language == "python":
            code = compile(text, page, "exec")
            exec("" if marked else code, namespace)
        elif language in FILES:
            Path(file).write_text(text, encoding="utf-8")
        else:
            assert language in SHOWN


@pytest.mark.parametrize("block", ["frobnicate", "cat none.txt | wc", "python train.py --lr 1", "mixcse train --lr 1"])
def test_a_wrong_block_is_noticed(block, clone, path):
    with pytest.raises(AssertionError, match="not found|No such file|unknown option --lr"):
        run_bash(f"{block}\necho", path)


@pytest.fixture(scope="session")
def known_options() -> set[str]:
    """Every option of every program, in any spelling that is accepted."""
    known = {*StrictParser()._option_string_actions, *get_args_parser()._option_string_actions}
    for file in (*ROOT.glob("mixcse/**/*.py"), *ROOT.glob("benchmarks/*.py")):
        known |= set(re.findall(r'"(--[a-z_]+)"', file.read_text(encoding="utf-8")))
    return known | {name.replace("_", "-") for name in known}


@pytest.mark.parametrize("page", PAGES)
def test_what_is_named_exists(page, known_options):
    """Links, options, files, experiments and extras, in blocks that are not run as well."""
    text, project = doc_pages.read(page), tomllib.loads(doc_pages.read("pyproject.toml"))["project"]
    files = re.findall(r"`((?:mixcse|tests|benchmarks|docs|SentEval/senteval)/[\w/.]+)`", text)
    files += re.findall(r"^(?:python|bash) ([\w/]+\.(?:py|sh))", text, re.MULTILINE)
    experiments = " ".join(re.findall(r"reproduce run ((?:\w+ ?)+)", text)).split()
    assert doc_pages.dead_links(page) == []
    assert doc_pages.options(page) - known_options == set()
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert set(experiments) <= {*load_experiments(), "all", "weight"}  # CONTRIBUTING.md adds the last one
    assert set(re.findall(r"(?:\.|mixcse)\[([\w-]+)\]", text)) <= set(project["optional-dependencies"])
