"""Help is made of the options' own fields, and answered before anything heavy is imported."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import TrainingArguments

import mixcse
import senteval
from mixcse.base.console import quiet_libraries
from mixcse.options import DataArguments, ModelArguments, Recipe
from mixcse.train.arguments import TrainArguments
from mixcse.train.help import COMMON, help_text
from mixcse.train.parsing import StrictParser, parse_training_arguments

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "datasets", "scipy", "sklearn", "numpy"}
# Runs a program as its script or module, and says what it imported.
RUN = """
import runpy, sys
program, *sys.argv[1:] = sys.argv[1:]
try:
    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    run(program, run_name="__main__")
finally:
    sys.stderr.write("imported: " + " ".join(sys.modules))
"""


def run(program: str, *arguments: str) -> tuple[int, str, str, set[str]]:
    """Exit code, stdout, stderr and the modules that were imported."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "SentEval")))
    done = subprocess.run(
        [sys.executable, "-c", RUN, program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    said, _, imported = done.stderr.rpartition("imported: ")
    return done.returncode, done.stdout, said, set(imported.split())


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        ("train.py --help", "--mixing_lambda"),
        ("train.py recipe.json --seed 1 -h", "--mixing_lambda"),
        ("evaluation.py --help", "--task_set"),
        ("mixcse --help", "find the sentences"),
        ("mixcse train --help", "usage: mixcse train"),
        ("mixcse encode --help", "--truncate_dim"),
        ("mixcse search --help", "--save_index"),
        ("mixcse.example --profile demo --help", "[--profile paper|demo]"),
        ("mixcse.reproduce --help", "run experiments"),
        ("mixcse.reproduce run --help", "--dry_run"),
        ("mixcse.reproduce list", "stop_gradient"),
    ],
)
def test_help_imports_nothing_heavy(command, shows):
    code, printed, said, imported = run(*command.split())
    assert (code, said) == (0, "")
    assert shows in printed
    assert not HEAVY & imported


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--tasks STS12 STS99", "--tasks: unknown task 'STS99'; known: STS12, "),
        ("--mode dev --batch_size 0", "--batch_size must be at least 1"),
        ("--pooler max", "invalid choice: 'max'"),
        ("--task-set sts", "did you mean --task_set?"),
    ],
)
def test_a_wrong_evaluation_is_refused_before_torch_is_imported(options, says):
    code, printed, said, imported = run("evaluation.py", "--model_name_or_path", "x", *options.split())
    assert (code, printed) == (2, "")
    assert says in said
    assert not {"torch", "transformers", "scipy", "sklearn"} & imported


def test_the_quick_help_shows_every_option_of_ours(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no line is broken
    text = help_text()
    words = re.split(r"[\s;)]+|, ", text)
    for kind in (ModelArguments, DataArguments, Recipe):
        assert f"\n{kind._argument_group_name}:\n" in text
        for field in dataclasses.fields(kind):
            assert {f"--{field.name}", *field.metadata.get("aliases", ())} <= set(words)
            if field.default is not None:
                assert str(field.default) in words
            for choice in field.metadata.get("choices", ()):
                assert choice in text
    assert "--no_stop_gradient" in words
    assert "{no,steps,epoch,best}" in words
    for shown in ("--output_dir DIR", "--validation_file FILE", "--lora_target_modules NAME", "--learning_rate X"):
        assert re.search(rf"\n  {shown}\s", text)


def test_the_full_help_adds_those_of_transformers(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_training_arguments(["--help_all"])
    assert exit.value.code == 0
    printed = capsys.readouterr().out
    for field in dataclasses.fields(TrainArguments):
        assert f"--{field.name}" in printed
    assert set(COMMON) <= {field.name for field in dataclasses.fields(TrainingArguments)}


def test_every_entrance_gives_the_same_help(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_training_arguments(["--output_dir", "x", "--help"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == help_text()


def test_the_quick_help_is_the_same_once_transformers_has_read_the_fields():
    before = help_text()
    StrictParser((ModelArguments, DataArguments, TrainArguments))  # it writes other types into the fields
    assert help_text() == before


def test_the_recipe_overrides_transformers_and_nothing_else_does():
    ours, theirs, resolved = (
        {field.name: field for field in dataclasses.fields(kind)}
        for kind in (Recipe, TrainingArguments, TrainArguments)
    )
    assert list(resolved) == [*theirs, *(name for name in ours if name not in theirs)]
    assert {"learning_rate", "eval_strategy", "output_dir"} <= set(ours) & set(theirs)
    for name, field in resolved.items():
        assert field is (ours.get(name) or theirs[name])
    args = TrainArguments(output_dir="x")
    assert (args.learning_rate, args.per_device_train_batch_size, args.num_train_epochs) == (3e-5, 64, 1)
    assert (args.per_device_eval_batch_size, args.save_total_limit, args.do_train) == (128, 2, True)
    assert (args.eval_strategy, args.eval_steps, args.save_steps, args.logging_steps) == ("no", 125, 125, 125)
    assert (args.save_strategy, args.load_best_model_at_end) == ("steps", False)


def test_lazy_packages_have_all_their_names():
    for package in (mixcse, senteval):
        assert all(hasattr(package, name) for name in package.__all__)
        assert not hasattr(package, "no_such_name")
    assert set(senteval.__all__) <= set(dir(senteval))


def test_the_engine_is_there_after_importing_senteval_alone():
    code = "import senteval, sys; assert 'numpy' not in sys.modules; print(senteval.engine.SE.__name__, senteval.sts)"
    path = os.pathsep.join((str(ROOT), str(ROOT / "SentEval")))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.startswith("SE <module 'senteval.sts'"), done.stderr


@pytest.mark.parametrize("terminal", [True, False])
def test_downloads_show_their_progress_on_a_terminal(terminal, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    was_shown = not are_progress_bars_disabled()
    enable_progress_bars()
    quiet_libraries()
    assert are_progress_bars_disabled() is not terminal
    assert not transformers.logging.is_progress_bar_enabled()
    (enable_progress_bars if was_shown else disable_progress_bars)()
