"""CONTRIBUTING.md's worked examples: put into a copy of the packages, they do what they are to do."""

import os
import shutil
import subprocess
import sys

from doc_pages import ROOT, blocks

EXAMPLES = [block for block in blocks("CONTRIBUTING.md") if block[0] in ("diff", "toml")]
USES_THEM = """
import sys
from pathlib import Path

import torch

import mixcse
import senteval
from mixcse.data.reading import iter_sentences
from mixcse.objective import contrastive_loss
from mixcse.reproduce import experiment
from mixcse.train.parsing import parse_training_arguments

here = Path(sys.argv[1])
assert Path(mixcse.__file__).is_relative_to(here) and Path(senteval.__file__).is_relative_to(here)

z = torch.randn(4, 2, 8)
assert contrastive_loss(z, variant="first_views") > contrastive_loss(z, variant="simcse")
parse_training_arguments(["--variant", "first_views", "--output_dir", "out"])

folder = here / "data" / "downstream" / "JOKES"
folder.mkdir(parents=True)
(folder / "jokes.funny").write_text("a b\\nc\\n")
(folder / "jokes.flat").write_text("d\\ne f\\n")
suite = senteval.Suite.load(["JOKES"], here / "data")
assert len(suite.tasks["JOKES"]["all"]) == 4, suite.missing

arms = experiment.load_experiments()["weight"].arms
assert [arm.options for arm in arms] == [{}, {"hard_negative_weight": 1.0}]

(here / "some.psv").write_text("text|other\\na cat|x\\n")
assert list(iter_sentences(here / "some.psv")) == ["a cat"]
"""


def applied(text: str, diff: str) -> str:
    """The text with a diff's lines in it, which have to fit in one place."""
    lines = diff.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    assert text.count(before) == 1, f"not in one place: {before}"
    return text.replace(before, after)


def test_the_examples_work(tmp_path):
    for package in ("mixcse", "SentEval/senteval"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert len({name for _, name, _ in EXAMPLES}) == 5
    for language, name, text in EXAMPLES:
        assert text.count("\n") <= 15
        file = tmp_path / name
        file.write_text(applied(file.read_text(), text) if language == "diff" else text)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(tmp_path / "SentEval")])}
    done = subprocess.run(
        [sys.executable, "-c", USES_THEM, str(tmp_path)], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
