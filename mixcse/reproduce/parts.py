"""Records and quoted rows to the tables that a report shows: one `Part` for an experiment on a model."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixcse.report.pages import Shown
from mixcse.report.traces import DEV_NAMES, Trace
from mixcse.reproduce.experiment import Arm, Experiment, Quoted, Scale
from mixcse.reproduce.plan import slug_of
from mixcse.reproduce.statistics import Paired, Summary, inside, paired

Record = Mapping[str, Any]
SHORT = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R"}
SAMPLE_COLUMN = "sample pairs"
SIGNALS = {  # log name: column of the table of late training steps
    "embedding_gradient_norm": "gradient norm",
    "in_batch_weight": "weight in-batch",
    "own_mix_weight": "weight own mix",
    "other_mix_weight": "weight other mixes",
}


@dataclass
class Row:
    """A line of a table: measured here, quoted from elsewhere, or not there.

    Attributes:
        cells: a text for each column.
        remark: of a quoted row: how far ours is from it.
    """

    label: str
    kind: str
    cells: list[str]
    n: int = 0
    remark: str = ""


@dataclass
class Comparison:
    """An arm against the experiment's baseline over equal seeds."""

    arm: str
    baseline: str
    paired: Paired


@dataclass
class RawRow:
    """One run's own numbers."""

    arm: str
    seed: str
    cells: list[str]
    dev: str
    kept: str
    seconds: str
    run: str


@dataclass
class Part:
    """An experiment on one model at one scale."""

    experiment: Experiment
    model: str
    columns: list[str]
    rows: list[Row] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    quoted: list[Quoted] = field(default_factory=list)
    raw: list[RawRow] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    figures: list[Shown] = field(default_factory=list)
    figures_only: bool = False

    @property
    def signals(self) -> dict[str, list[str]]:
        """For an experiment about the gradient: arm -> late means of training, one for each of `SIGNALS`."""
        if "gradient_norm" not in self.experiment.figures:
            return {}
        return {
            trace.label: [f"{Summary.of(means):4}" if (means := trace.late_means(name)) else "–" for name in SIGNALS]
            for trace in self.traces
        }

    @property
    def measured(self) -> bool:
        """Whether anything in it was."""
        return bool(self.raw)

    @property
    def remarks(self) -> bool:
        """Whether quoted rows have something of ours to be compared with."""
        return any(row.remark for row in self.rows)

    def repeats(self, main: set[str]) -> bool:
        """Whether its scores are all in the main table, so that only its figures are news."""
        return (
            bool(self.experiment.figures) and self.experiment.name != "main" and {row.run for row in self.raw} <= main
        )

    def worth_showing(self, main: set[str]) -> bool:
        """Whether it says something that the main table, whose runs these are, does not."""
        runs, arms = {row.run for row in self.raw}, {row.arm for row in self.raw}
        if self.experiment.name == "main":
            return self.measured or bool(self.missing)
        more = bool(self.experiment.figures) or not runs <= main or len(arms) == len(self.experiment.arms)
        return len(arms) > 1 and more or any(": failed: " in line for line in self.missing)


def make_part(
    experiment: Experiment, scale: Scale, model: str, records: Mapping[str, Record], failures: Mapping[str, str]
) -> Part:
    """Gathers what is there for an experiment on a model, and says what is not."""
    arms = list(experiment.arms_at(scale.name))
    found = {arm.name: _runs_of(arm, scale, model, records) for arm in arms}
    everything = [record for runs in found.values() for record in runs]
    scored_tasks = {task for record in everything for task in record["scores"]["headline"]}
    has_tasks = scale.name == "paper" or experiment.tasks != "sts" or bool(scored_tasks & set(experiment.columns))
    tasks = experiment.columns if has_tasks else ()
    columns = [*(SHORT.get(task, task) for task in tasks), "Avg."] if has_tasks else [SAMPLE_COLUMN]
    quoted = [row for row in experiment.quoted if scale.name == "paper" and row.model == model]
    part = Part(experiment, model, columns, quoted=quoted)
    failed_seeds = {int(seed[1]) for slug in failures if (seed := re.search(r"_seed-(\d+)$", slug))}
    seeds = sorted({record["seed"] for record in everything if record["seed"] is not None} | failed_seeds)
    for arm in arms:
        scored = [record for record in found[arm.name] if _scores(record, tasks) is not None]
        part.rows += _rows(arm, scored, tasks, columns, [row for row in quoted if row.arm == arm.name], scale)
        part.raw += [_raw(arm, record, tasks) for record in scored]
        part.missing += _missing(arm, scale, model, found[arm.name], tasks, seeds, failures)
        if scored and arm.pooler is None:
            histories = [record["history"] for record in scored]
            part.traces.append(Trace(arm.name, histories, [record["cosines"] for record in scored]))
            difference = _compare(scored, found[experiment.baseline], tasks)
            if arm.name != experiment.baseline and difference:
                part.comparisons.append(Comparison(arm.name, experiment.baseline, difference))
    return part


def _runs_of(arm: Arm, scale: Scale, model: str, records: Mapping[str, Record]) -> list[Record]:
    """The arm's records, by seed; one that was made with another value of what the arm sets is none of them."""
    recipe = {**scale.options, **scale.models.get(model, {})}
    runs = [
        record
        for record in records.values()
        if record["run"] == slug_of(model, arm, recipe, record["seed"])
        and all(str(record["options"].get(name, value)) == str(value) for name, value in arm.options.items())
    ]
    return sorted(runs, key=lambda record: (record["seed"] is None, record["seed"]))


def _scores(record: Record, tasks: Iterable[str]) -> list[float] | None:
    """The table's numbers of one run, average last; None if one is missing."""
    tasks = list(tasks)
    if not tasks:
        own = record["scores"]["own_pairs"]
        return [100 * own["spearman"]] if own and own.get("spearman") is not None else None
    headline = record["scores"]["headline"]
    if any(headline.get(task) is None for task in tasks):
        return None
    values = [headline[task] for task in tasks]
    return [*values, sum(values) / len(values)]


def _rows(
    arm: Arm, runs: list[Record], tasks: Iterable[str], columns: list[str], quoted: list[Quoted], scale: Scale
) -> list[Row]:
    rows, summaries = [], []
    if runs:
        table = [_scores(record, tasks) for record in runs]
        summaries = [Summary.of(column) for column in zip(*table, strict=True)]
        rows.append(Row(arm.name, "measured", [str(summary) for summary in summaries], len(runs)))
    if not runs and (quoted or scale.name == "paper"):
        rows.append(Row(arm.name, "missing", ["–"] * len(columns)))
    for row in quoted:
        numbers = row.scores or (*[None] * (len(columns) - 1), row.average)
        spreads = row.spread or [None] * len(columns)
        cells = [
            "" if number is None else f"{number:.2f}" + (f" ± {sd:.2f}" if sd is not None else "")
            for number, sd in zip(numbers, spreads, strict=True)
        ]
        remark = _distance(summaries[-1], row, numbers[-1]) if summaries else ""
        rows.append(Row(row.label, "quoted", cells, remark=remark))
    return rows


def _distance(ours: Summary, quoted: Quoted, average: float) -> str:
    if not quoted.comparable:
        return "not comparable"
    within = inside(ours, average, quoted.spread[-1] if quoted.spread else None)
    verdict = {None: "one run: no spread", True: "inside the spread", False: "outside the spread"}[within]
    return f"ours {ours.mean - average:+.2f}, {verdict}"


def _compare(runs: list[Record], baseline: list[Record], tasks: Iterable[str]) -> Paired | None:
    """Over the seeds that both have with the same code and data."""

    def by_seed(records: list[Record], other: list[Record]) -> dict[int, float]:
        keys = {(one["seed"], one["keys"]["code"], one["keys"]["data"]) for one in other}
        return {
            record["seed"]: scores[-1]
            for record in records
            if (scores := _scores(record, tasks)) is not None
            and (record["seed"], record["keys"]["code"], record["keys"]["data"]) in keys
        }

    return paired(by_seed(runs, baseline), by_seed(baseline, runs))


def _raw(arm: Arm, record: Record, tasks: Iterable[str]) -> RawRow:
    dev, kept, trained = "", "", arm.pooler is None
    if trained:
        trace = Trace(arm.name, [record["history"]])
        at = {entry["step"]: entry for entry in record["history"] if trace.dev_metric in entry}
        if (entry := at.get(record["kept_step"])) is not None:
            dev = f"{DEV_NAMES[trace.dev_metric]} {100 * entry[trace.dev_metric]:.2f}"
        kept = f"{record['kept_step']} of {record['steps']}"
    seconds = record["seconds"]
    resumed = "resumed_from_step" in record.get("train_results", {})
    training = f"{seconds['training']:.0f}{' since it was continued' if resumed else ''} + " if trained else ""
    return RawRow(
        arm=arm.name,
        seed="–" if record["seed"] is None else str(record["seed"]),
        cells=[f"{score:.2f}" for score in _scores(record, tasks)],
        dev=dev,
        kept=kept,
        seconds=f"{training}{seconds['evaluation']:.0f}",
        run=record["run"],
    )


def _missing(
    arm: Arm,
    scale: Scale,
    model: str,
    runs: list[Record],
    tasks: Iterable[str],
    seeds: list[int],
    failures: Mapping[str, str],
) -> list[str]:
    """What this part's own runs lead to expect and is not there, and why as far as it is known."""
    recipe = {**scale.options, **scale.models.get(model, {})}
    by_seed = {record["seed"]: record for record in runs}
    lines = []
    for seed in (seeds if arm.pooler is None else [None]) if seeds or runs else []:
        record, failure = by_seed.get(seed), failures.get(slug_of(model, arm, recipe, seed))
        unscored = [task for task in tasks if record and record["scores"]["headline"].get(task) is None]
        if record and not unscored and not failure:
            continue
        reason = f"failed: {failure}" if failure else f"no score of {', '.join(unscored)}" if record else "not run"
        lines.append(f"{arm.name if seed is None else f'{arm.name}, seed {seed}'}: {reason}")
    return lines
