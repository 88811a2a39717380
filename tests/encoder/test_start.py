"""What encoding does not wait for."""

import subprocess
import sys

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
