"""README and docs: every snippet runs, every link leads somewhere, every option that is named exists.

A page is run from top to bottom in a folder of its own that looks like a clone of the project: `train.py`, the
sample data, a small trained `result/demo`, toy SentEval data; under the names of Hub models lie tiny random ones.
Python blocks share one namespace, as in a notebook; shell blocks are run by `doc_shell.run_block`, which says what it
cuts short.  A block that names a file behind its language (```csv pairs.csv) shows a file that later blocks read.
"""

import json
import os
import re
import runpy
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import doc_pages
import pytest
import torch
from doc_pages import PAGES, ROOT, Snippet, snippets
from doc_sandbox import fill_sandbox, tell_libraries, toy_mteb
from doc_shell import known_options, run_block

from mixcse.base.errors import UserError
from mixcse.objective import logit_blocks

FIGURE = ROOT / "docs/figures/mixed_negatives.svg"
SNIPPETS = [one for page in PAGES for one in snippets(page) if page != "CONTRIBUTING.md"]  # test_contributing.py
SHOWN = {"text", "math", "csv", "tsv", "json", "jsonl", "bibtex"}  # nothing to run in these
LOOKS_RUNNABLE = re.compile(r"^(\$ |python |mixcse |pip |torchrun |import |from \w+ import )", re.MULTILINE)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_bert, toy_sentences) -> Path:
    """A folder that two steps of training left."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.txt").write_text("\n".join(toy_sentences[:16]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_block(f"python train.py --model_name_or_path {tiny_bert} --train_file train.txt --output_dir out")
    return folder / "out"


class Page:
    """A page on its way: what has been run of it, and what came of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.snippets = snippets(name)
        self.outcomes: list[BaseException | None] = []
        self.namespace = {"__name__": "__main__"}

    def run(self, snippet: Snippet) -> None:
        """Runs the page as far as this snippet; raises what the snippet itself raised."""
        position = self.snippets.index(snippet)
        while len(self.outcomes) <= position:
            self.outcomes.append(self._outcome(self.snippets[len(self.outcomes)]))
        if error := self.outcomes[position]:
            raise error

    def _outcome(self, snippet: Snippet) -> BaseException | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            tell_libraries(patch)
            try:
                self._run(snippet, patch)
            except (Exception, SystemExit, pytest.fail.Exception) as error:
                return error
        return None

    def _run(self, snippet: Snippet, patch: pytest.MonkeyPatch) -> None:
        if snippet.file:
            Path(snippet.file).parent.mkdir(parents=True, exist_ok=True)
            Path(snippet.file).write_text(snippet.text, encoding="utf-8")
        if snippet.language == "bash":
            run_block(snippet.text)
        elif snippet.language == "python":
            source = "\n" * (snippet.line - 1) + snippet.text  # so that a traceback names the page's line
            if "import mteb" in source:
                toy_mteb(patch)
            exec(compile(source, str(ROOT / snippet.page), "exec"), self.namespace)
        elif snippet.language in ("json", "jsonl"):
            for text in snippet.text.splitlines() if snippet.language == "jsonl" else [snippet.text]:
                json.loads(text)
        else:
            assert snippet.language in SHOWN, f"what is {snippet.language or 'this'}? Output is text"
            assert not LOOKS_RUNNABLE.search(snippet.text), "this can be run: say bash or python"


@pytest.fixture(scope="session")
def pages(tmp_path_factory, tiny_bert, trained, toy_sentences) -> dict[str, Page]:
    """Every page, in a sandbox that is made when a test first asks for the page."""

    class Made(dict):
        def __missing__(self, name: str) -> Page:
            folder = tmp_path_factory.mktemp(re.sub(r"\W", "-", name))
            fill_sandbox(folder, tiny_bert, trained, toy_sentences)
            return self.setdefault(name, Page(name, folder))

    return Made()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.place)
def test_snippet(snippet, pages):
    pages[snippet.page].run(snippet)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert doc_pages.dead_links(page) == []


@pytest.mark.parametrize("page", PAGES)
def test_named_files_are_there(page):
    assert [name for name in doc_pages.named_files(page) if not (ROOT / name).exists()] == []


@pytest.fixture(scope="session")
def existing_options() -> set[str]:
    return known_options()


@pytest.mark.parametrize("page", PAGES)
def test_options_that_are_named_exist(page, existing_options):
    assert doc_pages.options(doc_pages.read(page)) - existing_options == set()


@pytest.mark.parametrize("page", PAGES)
def test_extras_that_are_named_exist(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"(?:\.|mixcse)\[([\w-]+)\]", doc_pages.read(page))
    assert set(named) <= set(project["optional-dependencies"])


def test_the_figure_shows_the_zeros_where_they_are(tmp_path):
    script = runpy.run_path(str(ROOT / "docs/figures/mixed_negatives.py"))
    rows = script["ROWS"]
    z = torch.randn(rows, 2, 8, generator=torch.Generator().manual_seed(0))
    for number, logits in enumerate(logit_blocks(z).values()):
        kinds = [[script["kind_of"](number, i, j) for j in range(rows)] for i in range(rows)]
        assert [[kind == "zero" for kind in row] for row in kinds] == (logits == 0).tolist()
    script["main"](tmp_path / "drawn.svg")
    drawn, kept = (ElementTree.parse(path).getroot() for path in (tmp_path / "drawn.svg", FIGURE))
    parts = [[part.get("id") for part in root.iter() if "_" in part.get("id", "")] for root in (drawn, kept)]
    assert parts[0] == parts[1], "draw it again: python docs/figures/mixed_negatives.py"


@pytest.mark.parametrize("page", ["docs/findings.md", "docs/reproducing.md", "README.md"])
def test_what_was_found_is_what_the_records_say(page):
    """Differences with their intervals, and means with their deviations, as the report has them."""
    numbers = re.findall(r"[+-]\d\.\d\d \[[^]]+\]|\d\d\.\d\d ± \d\.\d\d", (ROOT / page).read_text())
    report = (ROOT / "results/report.md").read_text()
    assert len(numbers) > 4
    assert [number for number in numbers if number not in report] == []


def test_the_figure_of_pull_and_push_is_of_the_records(tmp_path):
    runpy.run_path(str(ROOT / "docs/figures/pull_push.py"))["main"](tmp_path / "drawn.svg")
    figures = (tmp_path / "drawn.svg", ROOT / "docs/figures/pull_push.svg")
    drawn, kept = (re.findall(r"<text[^>]*>([^<]+)<", path.read_text()) for path in figures)
    assert len(drawn) > 20
    assert drawn == kept, "draw it again: python docs/figures/pull_push.py"


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("frobnicate now", "do not know how to run"),
        ("python train.py --no_such_option 1", "unknown option --no_such_option"),
        ("torchrun --nproc_per_node=2 train.py --train_file x.txt --output_dir x --lr 1", "unknown option --lr"),
        ("bash run_unsup_example.sh --profile demo --speed 9", "unknown option --speed"),
        ('pip install -e ".[magic]"', "no such extra"),
        ("pip install leftpad", "not a package of pyproject.toml"),
        ("python benchmarks/train_step.py --laps 3", "has no --laps"),
        ("echo a && echo b", "one command a line"),
        ("#!/bin/bash\nif true; then torchrun train.py", "unexpected end of file"),
    ],
)
def test_a_wrong_snippet_is_noticed(block, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, UserError), match=re.escape(says)):
        run_block(block)


def test_pipes_files_and_variables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_block(
        "echo one \\\n  two > a.txt\ncat <<'END' >> a.txt\nthree # four\nEND\ncat a.txt | wc -w > b.txt  # words\n"
    )
    assert (tmp_path / "a.txt").read_text() == "one two\nthree # four\n"
    assert (tmp_path / "b.txt").read_text().strip() == "5"
    with pytest.raises(AssertionError, match="no such|No such"):
        run_block("cat none.txt | wc -w")
    run_block("export MIXCSE_TEST=1")
    assert "MIXCSE_TEST" not in os.environ
