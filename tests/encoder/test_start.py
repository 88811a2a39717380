"""What encoding does not wait for."""

import os
import subprocess
import sys

from transformers import AutoModel, AutoTokenizer

RUN = """
import sys
from mixcse import cli
cli.main(sys.argv[1:])
print(*sys.modules)
"""
# accelerate is not among them: transformers itself imports it to load any model.
HEAVY = {"datasets", "transformers.trainer", "sklearn", "pandas", "matplotlib", "peft"}


def test_encoding_imports_nothing_of_training(tiny_bert, tmp_path):
    (tmp_path / "some.txt").write_text("a cat\na dog\n")
    words = ["encode", "--model", str(tiny_bert), str(tmp_path / "some.txt"), "--output", str(tmp_path / "some.npy")]
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "some.npy").exists()
    assert not HEAVY & {*done.stdout.split()}


UNGUARDED = """
import sys
from mixcse import SentenceEncoder
SentenceEncoder(sys.argv[1]).encode(["a cat", "a dog"], processes=2)
"""


def test_a_script_without_its_guard_ends_and_says_so(tiny_bert, tmp_path):
    """However large the model: a process that ends before it has read its copy is not waited for."""
    (tmp_path / "script.py").write_text(UNGUARDED)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = [sys.executable, str(tmp_path / "script.py"), large(tiny_bert, tmp_path / "large")]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, env=os.environ | {"TMPDIR": str(temporary)}
    )
    assert done.returncode == 1
    assert 'needs `if __name__ == "__main__":`' in done.stderr
    assert [*temporary.glob("mixcse-*")] == []


def large(folder, target):
    """The same encoder with more weights than a pipe between two processes holds."""
    encoder = AutoModel.from_pretrained(folder)
    encoder.resize_token_embeddings(20_000)
    encoder.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    return str(target)
