"""Where programs run: names of any kind, another working folder, environments of others."""

import ast
import json
import os
import shutil
import subprocess
import sys

import pytest

from mixcse.base.files import ROOT
from mixcse.data.tokens import load_text
from mixcse.options import DataArguments

ODD = "é ß [1] * {x}"  # of a folder: not ASCII, a space, signs that mean something in a pattern


def run(*words, cwd, environment=()):
    """A program of a clone, without the variables that would help it; its output as bytes of ASCII and escapes."""
    left_out = {"PYTHONPATH", "PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL", "LANG", "COLUMNS"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=kept | alone | dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done


def test_odd_names_everywhere_and_no_locale(tmp_path, tiny_bert, toy_sentences):
    """Clone, model, data, outputs and index have odd names, relative to a folder that is not the clone."""
    clone, work = tmp_path / f"clone {ODD}", tmp_path / f"work {ODD}"
    for name in ("mixcse", "SentEval/senteval"):
        shutil.copytree(ROOT / name, clone / name)
    work.mkdir()
    shutil.copytree(tiny_bert, work / f"bert {ODD}")
    lines = [*toy_sentences[:63], "the cât sat — 犬 𝛼"]
    (work / f"train {ODD}.txt").write_text("\n".join(lines), encoding="utf-8")
    odd = {
        "PYTHONPATH": os.pathsep.join((str(clone), str(clone / "SentEval"))),
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "HF_HOME": str(work / "cache"),
    }
    train = [
        *("train", "--model_name_or_path", f"bert {ODD}", "--train_file", f"train {ODD}.txt"),
        *("--output_dir", f"out {ODD}", "--max_steps", "2", "--per_device_train_batch_size", "8"),
        *("--held_out", "8", "--eval_steps", "1"),
    ]
    search = [
        *("search", "--model", f"out {ODD}", "--corpus", f"train {ODD}.txt", "--top_k", "1"),
        *("--save_index", f"index {ODD}", "the cât sat — 犬 𝛼"),
    ]
    program = f"""
from mixcse import cli
from mixcse.base.program import run_cli
from mixcse.data import fetch
if not fetch.__file__.startswith({str(clone)!r}):
    raise SystemExit(fetch.__file__)
raise SystemExit(run_cli(cli.main, {train!r}) or run_cli(cli.main, {search!r}))
"""
    done = run("-c", program, cwd=work, environment=odd)
    assert done.returncode == 0, done.stderr
    assert {"model.safetensors", "curves.png"} <= {path.name for path in (work / f"out {ODD}").iterdir()}
    assert r"\u72ac" in done.stdout and done.stdout.isascii()  # JSON all the same
    assert (work / f"index {ODD}" / "index.json").is_file()


def test_no_logic_is_in_asserts():
    """Which `python -O` leaves out."""
    for file in [*ROOT.glob("mixcse/**/*.py"), *ROOT.glob("SentEval/senteval/**/*.py"), *ROOT.glob("*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), file


def test_a_pattern_in_the_working_folder_is_a_name(tmp_path, monkeypatch):
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "a [b].txt").write_text("one\ntwo\n")
    assert load_text(DataArguments(["a [b].txt"]))["sentence1"][:] == ["one", "two"]


def test_the_first_option_is_no_extra_to_install(tmp_path):
    """A sourced script without arguments has those of the script that sources it."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    for script in ("run_unsup_example.sh", "tests/run.sh", "mixcse/environment.sh"):
        subprocess.run([bash, "-n", str(ROOT / script)], check=True)
    shutil.copy(ROOT / "run_unsup_example.sh", tmp_path)
    (tmp_path / "mixcse").mkdir()
    (tmp_path / "mixcse" / "environment.sh").write_text('python() { :; }; echo "extra: [${1:-}]"; exit 0\n')
    script = str(tmp_path / "run_unsup_example.sh")
    run = subprocess.run([bash, script, "--profile", "demo"], capture_output=True, text=True, check=True)
    assert run.stdout == "extra: []\n"


@pytest.mark.parametrize("extra", ["", "lora"])
def test_an_environment_of_another_checkout_stays_its_own(tmp_path, extra):
    """Its editable mixcse is not moved here; this checkout goes before it, and what is missing is installed."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    clone, venv, other = (tmp_path / name for name in ("clone", "venv", "other"))
    (clone / "mixcse").mkdir(parents=True)
    for name in ("mixcse/environment.sh", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, clone / name)
    info = venv / "site" / "mixcse-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mixcse\nVersion: 0.1.0\n")
    (info / "direct_url.json").write_text(json.dumps({"url": other.as_uri(), "dir_info": {"editable": True}}))
    script = f"""
python() {{
    if [ "$1 ${{2:-}}" = "-m pip" ]; then echo "$@" >> installed.txt; return; fi
    PYTHONPATH="{venv / "site"}" "{sys.executable}" "$@"
}}
. mixcse/environment.sh {extra}
echo "path: $PYTHONPATH"
"""
    env = {"PATH": os.environ["PATH"], "VIRTUAL_ENV": str(venv)}
    run = subprocess.run([bash, "-euc", script], cwd=clone, env=env, capture_output=True, text=True, check=True)
    assert f"the active environment's mixcse is that of {other}, and stays it; here this checkout is used" in run.stderr
    assert run.stdout == f"path: {clone}:{clone / 'SentEval'}\n"
    installed = (clone / "installed.txt").read_text()
    assert "--editable" not in installed
    assert ("peft" in installed) == (extra == "lora")
