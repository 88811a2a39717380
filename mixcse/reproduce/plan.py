"""From experiments to the runs that they need: experiments share the runs they have in common."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixcse.base.errors import UserError
from mixcse.base.files import ROOT
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.fetch import CORPUS
from mixcse.data.pairs import find_senteval_data, read_own_pairs
from mixcse.data.reading import expand_files
from mixcse.options import ModelArguments
from mixcse.reproduce.experiment import Arm, Experiment, Scale
from mixcse.train.arguments import TrainArguments
from mixcse.train.parsing import given_options, parse_training_arguments

SAMPLE = ROOT / "data" / "sample"
SEEDS = (42, 0, 1, 2, 3)
# Options that say where something is, not what; files among them count by their content.
FILES = ("train_file", "validation_file")
PLACES = (*FILES, "senteval_data", "cache_dir", "preprocessing_num_workers", "overwrite_cache", "disable_tqdm")
# Options that a run gets from its place in the plan.
PLANNED = ("output_dir", "overwrite_output_dir", "seed", "do_train", "do_eval")


@dataclass
class Run:
    """One encoder trained (or taken as it comes) and scored.

    Attributes:
        slug: its name on disk: model, what differs from the scale's recipe, seed.
        options: every option of train.py that is given, data and model included.
        pooler: the pooler of an untrained encoder; None if it is trained.
        overrides: what the command line says of `options` beyond where things are.
        tasks: SentEval tasks to score it on.
        test_pairs: scored where there is no SentEval data.
    """

    slug: str
    scale: str
    model: str
    options: dict[str, Any]
    seed: int | None
    pooler: str | None
    overrides: dict[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    test_pairs: Path | None = None

    def train_arguments(self, output_dir: Path) -> list[str]:
        """Of `train.py`."""
        options = {**self.options, "seed": self.seed or 0, "output_dir": output_dir, "do_train": True, "do_eval": True}
        return as_arguments(options)

    def evaluation_arguments(self, model: str | Path, results: Path) -> list[str]:
        """Of `evaluation.py`."""
        options = {
            "model_name_or_path": model,
            "pooler": self.pooler,
            "task_set": "na",
            "tasks": list(self.tasks),
            "mode": "test",
            "senteval_data": self.options.get("senteval_data"),
            "validation_file": self.test_pairs,
            "output_json": results,
        }
        return as_arguments({name: value for name, value in options.items() if value not in (None, [])})


def parse_overrides(argv: list[str]) -> dict[str, Any]:
    """Options of train.py that hold for every run of a plan, as they are given.

    Raises:
        UserError: one is wrong, or the plan decides it.
    """
    options = given_options(argv)
    if name := next((name for name in options if name in PLANNED), None):
        raise UserError(f"--{name} is decided by the plan of runs" + (", see --seeds" * (name == "seed")))
    if len(files := options.get("train_file") or []) == 1:
        options["train_file"] = files[0]
    return options


def make_plan(
    experiments: Sequence[Experiment], scale: Scale, seeds: Sequence[int], overrides: dict[str, Any]
) -> dict[str, Run]:
    """The runs that these experiments need, by slug; every option is checked.

    Raises:
        UserError: an option is wrong.
    """
    if isinstance(overrides.get("train_file"), list) or "dataset_name" in overrides:
        name = "dataset_name" if "dataset_name" in overrides else "train_file"
        raise UserError(f"--{name}: all runs of a plan are trained on one file; name it with --train_file")
    runs: dict[str, Run] = {}
    for experiment in experiments:
        for name in overrides:
            if any(name in arm.options for arm in experiment.arms):
                raise UserError(f"--{name}: {experiment.name} varies it; leave it out, or that experiment")
    parse_training_arguments([*as_arguments(overrides), "--output_dir", "unused"])
    if "model_name_or_path" in overrides:  # one model instead of the scale's, under its own name
        name = re.sub(r"[^\w.+-]", "-", Path(str(overrides["model_name_or_path"])).name)
        scale = dataclasses.replace(scale, models={name: next(iter(scale.models.values()))})
    data = _data_options(scale, overrides)
    told = _told(scale, {**data, **overrides}, overrides)
    has_data = (find_senteval_data(overrides.get("senteval_data")) / "downstream").is_dir()
    for experiment in experiments:
        has_tasks = has_data or scale.name == "paper" or experiment.tasks != "sts"
        for run in runs_of(experiment, scale, seeds, overrides, data):
            run.overrides = told
            run.tasks = experiment.columns if has_tasks else ()
            run.test_pairs = None if has_tasks else SAMPLE / "sts-test.csv"
            if run.slug in runs:
                known = runs[run.slug]
                known.tasks = (*known.tasks, *(task for task in run.tasks if task not in known.tasks))
            else:
                runs[run.slug] = run
    for run in runs.values():
        parse_training_arguments(run.train_arguments(Path("unused")))
    return runs


def corpus_of(runs: Sequence[Run]) -> str:
    """A folder name for what these runs are trained on."""
    return re.sub(r"[^\w.+-]", "-", Path(str(runs[0].options["train_file"])).stem)


def check_data(runs: Sequence[Run]) -> None:
    """Raises UserError unless the training files and SentEval's data are there, as far as these runs need them."""
    hint = "get it with python -m mixcse.fetch, or name it with"
    for file in sorted({str(run.options["train_file"]) for run in runs if run.pooler is None}):
        if not Path(file).exists():
            raise UserError(f"{file} is not there: {hint} --train_file")
        try:
            expand_files([file])
        except UserError as error:
            raise UserError(f"--train_file {error}") from error
    for file in sorted({str(run.options["validation_file"]) for run in runs if "validation_file" in run.options}):
        read_own_pairs(file)
    for folder in sorted({str(find_senteval_data(run.options.get("senteval_data"))) for run in runs if run.tasks}):
        if not (Path(folder) / "downstream").is_dir():
            raise UserError(f"{folder} holds no SentEval data (no downstream/): {hint} --senteval_data")


def runs_of(
    experiment: Experiment, scale: Scale, seeds: Sequence[int], overrides: dict[str, Any], data: dict[str, Any]
) -> list[Run]:
    """One experiment's runs: models, arms, seeds."""
    return [
        plan_run(scale, model, arm, seed, {**data, **overrides})
        for model in models_of(experiment, scale)
        for arm in experiment.arms_at(scale.name)
        for seed in (seeds if arm.pooler is None else [None])
    ]


def models_of(experiment: Experiment, scale: Scale) -> list[str]:
    """The experiment's models at this scale."""
    return [model for model in experiment.models if model in scale.models] or list(scale.models)


def plan_run(scale: Scale, model: str, arm: Arm, seed: int | None, common: dict[str, Any]) -> Run:
    """The run of one arm on one model with one seed; `common` options go before the recipe's, the arm's before both."""
    recipe = {**scale.options, **scale.models[model]}
    options = {**recipe, **common, **arm.options}
    return Run(slug_of(model, arm, recipe, seed), scale.name, model, options, seed, arm.pooler)


def slug_of(model: str, arm: Arm, recipe: dict[str, Any], seed: int | None) -> str:
    """Model, what the arm changes in the recipe, seed.  Two arms that come to the same have one slug."""
    if arm.pooler is not None:
        return f"{model}_untrained_{arm.pooler}"
    defaults = {one.name: one.default for kind in (ModelArguments, TrainArguments) for one in dataclasses.fields(kind)}
    usual = defaults | recipe
    changed = {key: value for key, value in arm.options.items() if key != "variant" and value != usual.get(key)}
    variant = arm.options.get("variant", usual["variant"])
    if variant == "simcse":
        changed.pop("mixing_lambda", None)
    parts = [model, variant, *(f"{key}-{value}" for key, value in sorted(changed.items())), f"seed-{seed}"]
    return "_".join(parts)


def as_arguments(options: dict[str, Any]) -> list[str]:
    """`{name: value}` as a command line has it."""
    argv: list[str] = []
    for name, value in options.items():
        argv.append(f"--{name}")
        if value is not True:
            argv += [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return argv


def resolve(argv: list[str]) -> dict[str, object]:
    """All options of train.py as it understands this command line, by name."""
    return {name: value for group in parse_training_arguments(argv) for name, value in vars(group).items()}


def as_command(script: str, argv: Sequence[str]) -> str:
    """A line to paste into a shell."""
    return shlex.join(["python", script, *argv])


def _data_options(scale: Scale, overrides: dict[str, Any]) -> dict[str, Any]:
    """Model and data that the command line leaves open."""
    if scale.name == "paper":
        return {"train_file": str(ROOT / "data" / CORPUS)}
    data: dict[str, Any] = {"train_file": str(SAMPLE / "sentences.txt")}
    if "model_name_or_path" not in overrides:
        data["model_name_or_path"] = str(demo_encoder())
    senteval_data = find_senteval_data(overrides.get("senteval_data"))
    if (senteval_data / "downstream").is_dir():
        return data | {"senteval_data": str(senteval_data), "metric_for_best_model": "stsb_spearman"}
    return data | {"validation_file": str(SAMPLE / "sts-dev.csv"), "metric_for_best_model": "dev_spearman"}


def _told(scale: Scale, common: dict[str, Any], overrides: dict[str, Any]) -> dict[str, str]:
    """The overrides as train.py understands them, but for places and the model; checks them all."""
    options = {**scale.options, **next(iter(scale.models.values())), **common, "output_dir": "unused"}
    resolved = resolve(as_arguments(options))
    return {name: str(resolved[name]) for name in sorted(overrides) if name not in (*PLACES, "model_name_or_path")}
