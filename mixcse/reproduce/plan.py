"""From experiments to the runs that they need: experiments share the runs they have in common."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mixcse.base.errors import UserError
from mixcse.base.fields import defaults
from mixcse.base.files import ROOT
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.fetch import CORPUS
from mixcse.data.pairs import find_senteval_data, read_own_pairs
from mixcse.data.reading import expand_files
from mixcse.options import GROUPS
from mixcse.reproduce.experiment import Experiment, Scale

SAMPLE = ROOT / "data" / "sample"
SEEDS = (42, 0, 1, 2, 3)
# Options that say where something is, not what: files and models count by their content.
FILES = ("train_file", "validation_file")
PLACES = (
    *FILES, "model_name_or_path", "senteval_data", "cache_dir", "preprocessing_num_workers", "overwrite_cache",
    "disable_tqdm",
)  # fmt: skip
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

    @property
    def senteval_data(self) -> Path:
        """The folder that holds SentEval's data, if it is there."""
        return find_senteval_data(self.options.get("senteval_data"))

    def train_arguments(self, output_dir: Path) -> list[str]:
        """Of `train.py`."""
        planned = {"seed": self.seed or 0, "output_dir": output_dir, "do_train": True, "do_eval": True}
        return as_arguments(self.options | planned)

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
    from mixcse.train.parsing import given_options  # imports transformers, which a report does without

    options = given_options(argv)
    if name := next((name for name in options if name in PLANNED), None):
        raise UserError(f"--{name} is decided by the plan of runs" + (", see --seeds" * (name == "seed")))
    files = options.get("train_file")
    if "dataset_name" in options or len(files or ()) > 1:
        name = "dataset_name" if "dataset_name" in options else "train_file"
        raise UserError(f"--{name}: all runs of a plan are trained on one file; name it with --train_file")
    return options | ({"train_file": files[0]} if files else {})


def make_plan(
    experiments: Sequence[Experiment], scale: Scale, seeds: Sequence[int], overrides: dict[str, Any]
) -> dict[str, Run]:
    """The runs that these experiments need, by slug.

    Raises:
        UserError: an option is wrong, or an experiment varies it.
    """
    for experiment in experiments:
        if name := next((name for name in overrides for arm in experiment.arms if name in arm.options), None):
            raise UserError(f"--{name}: {experiment.name} varies it; leave it out, or that experiment")
    if "model_name_or_path" in overrides:  # one model instead of the scale's, under its own name
        name = name_on_disk(Path(str(overrides["model_name_or_path"])).name)
        scale = dataclasses.replace(scale, models={name: next(iter(scale.models.values()))})
    common = _data_options(scale, overrides) | overrides
    shared = {**scale.recipe(), **common, "output_dir": "unused"}
    resolved, *_ = [resolve(as_arguments(shared | {"seed": seed})) for seed in seeds]
    told = {name: str(resolved[name]) for name in sorted(overrides) if name not in PLACES}
    has_data = (find_senteval_data(overrides.get("senteval_data")) / "downstream").is_dir()
    runs: dict[str, Run] = {}
    for experiment in experiments:
        has_tasks = has_data or scale.name == "paper" or experiment.tasks != "sts"
        models = [model for model in experiment.models if model in scale.models] or scale.models
        for model, arm in ((model, arm) for model in models for arm in experiment.arms_at(scale.name)):
            options = {**scale.recipe(model), **common, **arm.options}
            for seed in seeds if arm.pooler is None else [None]:
                slug = slug_of(model, arm.options, scale, seed, arm.pooler)
                run = runs.setdefault(slug, Run(slug, scale.name, model, options, seed, arm.pooler, told))
                if has_tasks:
                    run.tasks = tuple(dict.fromkeys([*run.tasks, *experiment.columns]))
                else:
                    run.test_pairs = SAMPLE / "sts-test.csv"
    return runs


def check_data(plan: Sequence[Run]) -> None:
    """Raises UserError unless the training file and SentEval's data are there, as far as these runs need them."""
    hint, options = "get it with python -m mixcse.fetch, or name it with", plan[0].options
    if not Path(options["train_file"]).exists():
        raise UserError(f"{options['train_file']} is not there: {hint} --train_file")
    expand_files([options["train_file"]])
    if "validation_file" in options:
        read_own_pairs(options["validation_file"])
    if any(run.tasks for run in plan) and not (plan[0].senteval_data / "downstream").is_dir():
        raise UserError(f"{plan[0].senteval_data} holds no SentEval data (no downstream/): {hint} --senteval_data")


def slug_of(model: str, options: Mapping[str, Any], scale: Scale, seed: int | None, pooler: str | None = None) -> str:
    """Return the name of a run: model, what its options change in the scale's recipe, seed; equal runs have one name.

    Args:
        options: of an arm, or of a run without those of the command line.
        pooler: of an untrained encoder.
    """
    if pooler is not None:
        return f"{model}_untrained_{pooler}"
    usual = defaults(*GROUPS) | scale.recipe(model)
    decided = (*PLACES, "metric_for_best_model")  # by the data
    changed = {key: value for key, value in options.items() if value != usual.get(key) and key not in decided}
    variant = changed.pop("variant", usual["variant"])
    if variant == "simcse":
        changed.pop("mixing_lambda", None)
    return "_".join([model, variant, *(f"{key}-{value}" for key, value in sorted(changed.items())), f"seed-{seed}"])


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Return options as the words of a command line."""
    argv: list[str] = []
    for name, value in options.items():
        argv.append(f"--{name}")
        if value is not True:
            argv += [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return argv


def resolve(argv: list[str]) -> dict[str, object]:
    """Return all options of train.py as it understands a command line, by name; raise UserError for a wrong one."""
    from mixcse.train.parsing import parse_training_arguments  # imports transformers

    return {name: value for group in parse_training_arguments(argv) for name, value in vars(group).items()}


def effective(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that change what is computed, however they are spelt: those that are not the defaults."""
    resolved = resolve(as_arguments({**options, "output_dir": "unused"}))
    names = sorted(options.keys() - set(PLACES))
    return {name: str(resolved[name]) for name in names if resolved[name] != _resolved_defaults()[name]}


def name_on_disk(name: str) -> str:
    """Return a name with "-" for each character that file names should not have."""
    return re.sub(r"[^\w.+-]", "-", name)


@cache
def _resolved_defaults() -> dict[str, object]:
    return resolve(["--output_dir", "unused"])


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
