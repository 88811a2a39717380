"""Help is made of the options' own fields, and answered before anything heavy is imported."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import TrainingArguments

import mixcse
import senteval
from mixcse.options import DataArguments, ModelArguments, Recipe
from mixcse.train.arguments import TrainArguments, resolve
from mixcse.train.help import COMMON, help_text
from mixcse.train.parsing import parse_training_arguments

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "datasets", "scipy", "sklearn", "numpy"}
HELP = {
    "train.py --help": "--mixing_lambda",
    "train.py recipe.json --seed 1 -h": "--mixing_lambda",
    "evaluation.py --help": "--task_set",
    "mixcse --help": "find the sentences",
    "mixcse train --help": "usage: mixcse train",
    "mixcse encode --help": "--truncate_dim",
    "mixcse search --help": "--save_index",
    "mixcse.example --profile demo --help": "[--profile paper|demo]",
    "mixcse.reproduce --help": "run experiments",
    "mixcse.reproduce run --help": "--dry_run",
    "mixcse.reproduce list": "stop_gradient",
}
WRONG = {
    "--tasks STS12 STS99": "--tasks: unknown task 'STS99'; known: STS12, ",
    "--mode dev --batch_size 0": "--batch_size must be at least 1",
    "--pooler least": "invalid choice: 'least'",
    "--task-set sts": "did you mean --task_set?",
}
WRONG = {f"evaluation.py --model_name_or_path x {words}": says for words, says in WRONG.items()}
# Runs programs as their scripts or modules, one after another: exit code, stdout, stderr and what is imported by then.
RUN = """
import contextlib, io, json, runpy, sys
ran = {}
for command in sys.argv[1:]:
    program, *sys.argv[1:] = command.split()
    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            run(program, run_name="__main__")
        except SystemExit as exit:
            ran[command] = exit.code, out.getvalue(), err.getvalue(), list(sys.modules)
import senteval
ran["senteval"] = senteval.engine.SE.__name__, str(senteval.sts)
print(json.dumps(ran))
"""


@pytest.fixture(scope="module")
def ran() -> dict[str, list]:
    """What came of all these command lines, in one process."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "SentEval"))), "COLUMNS": "80"}
    words = [sys.executable, "-c", RUN, *HELP, *WRONG]
    return json.loads(subprocess.run(words, cwd=ROOT, env=env, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("command", HELP)
def test_help_imports_nothing_heavy(command, ran):
    code, printed, said, imported = ran[command]
    assert (code, said) == (0, "")
    assert HELP[command] in printed
    assert not HEAVY & {*imported}


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_evaluation_is_refused_before_torch_is_imported(command, ran):
    code, printed, said, imported = ran[command]
    assert (code, printed) == (2, "")
    assert WRONG[command] in said
    assert not {"torch", "transformers", "scipy", "sklearn"} & {*imported}


def test_the_engine_is_there_after_importing_senteval_alone(ran):
    name, module = ran["senteval"]
    assert name == "SE" and module.startswith("<module 'senteval.sts'")


def test_the_quick_help_shows_every_option_of_ours(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no line is broken
    words = re.split(r"[\s;)]+|, ", help_text())
    for field in (field for kind in (ModelArguments, DataArguments, Recipe) for field in dataclasses.fields(kind)):
        assert {f"--{field.name}", *field.metadata.get("aliases", ())} <= set(words)
        assert field.default is None or str(field.default) in words


def test_the_full_help_adds_those_of_transformers(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_training_arguments(["--help_all"])
    assert exit.value.code == 0
    printed = capsys.readouterr().out
    for field in dataclasses.fields(TrainArguments):
        assert f"--{field.name}" in printed
    assert set(COMMON) <= {field.name for field in dataclasses.fields(TrainingArguments)}


def test_every_entrance_gives_the_same_help(ran, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parse_training_arguments(["--output_dir", "x", "--help"])
    assert capsys.readouterr().out == help_text() == ran["train.py --help"][1]


def test_the_recipe_overrides_transformers_and_nothing_else_does():
    ours, theirs, resolved = (
        {field.name: field for field in dataclasses.fields(kind)}
        for kind in (Recipe, TrainingArguments, TrainArguments)
    )
    assert list(resolved) == [*theirs, *(name for name in ours if name not in theirs)]
    assert {"learning_rate", "eval_strategy", "output_dir"} <= set(ours) & set(theirs)
    for name, field in resolved.items():
        assert field is (ours.get(name) or theirs[name])
    args = resolve(TrainArguments(output_dir="x"))
    assert (args.learning_rate, args.per_device_train_batch_size, args.num_train_epochs) == (3e-5, 64, 1)
    assert (args.per_device_eval_batch_size, args.save_total_limit, args.do_train) == (128, 2, True)
    assert (args.eval_strategy, args.eval_steps, args.save_steps, args.logging_steps) == ("no", 125, 125, 125)
    assert (args.save_strategy, args.load_best_model_at_end) == ("steps", False)


def test_lazy_packages_have_all_their_names():
    for package in (mixcse, senteval):
        assert all(hasattr(package, name) for name in package.__all__)
        assert not hasattr(package, "no_such_name")
    assert set(senteval.__all__) <= set(dir(senteval))
