"""Records and quoted rows to the tables that a report shows: one `Part` for an experiment on a model."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mixcse.names import TASK_LABELS
from mixcse.report.traces import Trace
from mixcse.reproduce.experiment import Arm, Experiment, Quoted, Scale
from mixcse.reproduce.plan import slug_of
from mixcse.reproduce.record import SAMPLE_PAIRS, Record
from mixcse.reproduce.statistics import Paired, Summary, corrected, differences_of, inside, paired, show_effect

SIGNALS = {  # log name: column of the table of late training steps
    "embedding_gradient_norm": "gradient norm",
    "in_batch_weight": "weight in-batch",
    "own_mix_weight": "weight own mix",
    "other_mix_weight": "weight other mixes",
    "pull": "pull",
    "push": "push",
}


class Row(NamedTuple):
    """A line of a table, a cell for each column: `measured`, `quoted` with how far ours is from it, or `missing`."""

    label: str
    kind: str
    cells: list[str]
    n: int = 0
    remark: str = ""


class Drawn(NamedTuple):
    """A figure of a part: its caption, its file below the results folder, its SVG."""

    caption: str
    file: str
    svg: str


@dataclass
class Part:
    """An experiment on one model at one scale.

    Attributes:
        scored: the names of an arm's runs that have all scores of the table.
        comparisons: of pairs of arms (`one − other`), over equal seeds; p is corrected for their number.
        effects: of the same, a cell for each column.
        figures_only: whether its scores are all in the main table.
    """

    experiment: Experiment
    model: str
    columns: list[str]
    rows: list[Row] = field(default_factory=list)
    comparisons: dict[str, Paired] = field(default_factory=dict)
    effects: dict[str, list[str]] = field(default_factory=dict)
    quoted: list[Quoted] = field(default_factory=list)
    scored: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    figures: list[Drawn] = field(default_factory=list)
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
    def runs(self) -> set[str]:
        """Return the names of the runs that the part shows."""
        return {run for runs in self.scored.values() for run in runs}

    def worth_showing(self, main: set[str]) -> bool:
        """Whether it says something that the main table, whose runs these are, does not."""
        if self.experiment.name == "main":
            return bool(self.scored or self.missing)
        arms = len(self.scored)
        other_tasks = self.experiment.tasks != "sts"  # of which the main table has no scores
        more = (
            bool(self.experiment.figures) or other_tasks or not self.runs <= main or arms == len(self.experiment.arms)
        )
        return arms > 1 and more or any(": failed: " in line for line in self.missing)


def make_part(
    experiment: Experiment, scale: Scale, model: str, records: Mapping[str, Record], failures: Mapping[str, str]
) -> Part:
    """Gathers what is there for an experiment on a model, and says what is not."""
    arms = experiment.arms_at(scale.name)
    found = {arm.name: _runs_of(arm, scale, model, records) for arm in arms}
    everything = [record for runs in found.values() for record in runs]
    scored_tasks = {task for record in everything for task in record["scores"]}
    has_tasks = scale.name == "paper" or experiment.tasks != "sts" or bool(scored_tasks & set(experiment.columns))
    tasks = experiment.columns if has_tasks else ()
    columns = [*(TASK_LABELS.get(task, task) for task in tasks), "Avg."] if has_tasks else [SAMPLE_PAIRS]
    quoted = [row for row in experiment.quoted if scale.name == "paper" and row.model == model]
    part = Part(experiment, model, columns, quoted=quoted)
    failed_seeds = {int(seed[1]) for slug in failures if (seed := re.search(r"_seed-(\d+)$", slug))}
    seeds = sorted({record["seed"] for record in everything if record["seed"] is not None} | failed_seeds)
    scores = {
        arm: {record["seed"]: numbers for record in runs if (numbers := _scores(record, tasks))}
        for arm, runs in found.items()
    }
    for arm in arms:
        runs = found[arm.name]
        summaries = [Summary.of(column) for column in zip(*scores[arm.name].values(), strict=True)]
        others = [row for row in quoted if row.arm == arm.name]
        if summaries:
            scored = [record for record in runs if record["seed"] in scores[arm.name]]
            part.rows.append(Row(arm.name, "measured", [str(summary) for summary in summaries], len(scored)))
            part.scored[arm.name] = [record["run"] for record in scored]
            if arm.pooler is None:
                part.traces.append(Trace(arm.name, [record["log"] for record in scored]))
        elif others or scale.name == "paper":
            part.rows.append(Row(arm.name, "missing", ["–"] * len(columns)))
        part.rows += [_quoted(row, summaries, len(columns)) for row in others]
        for seed in (seeds if arm.pooler is None else [None]) if seeds or runs else []:
            reason = _why_missing(slug_of(model, arm.options, scale, seed, arm.pooler), runs, tasks, failures)
            label = arm.name if seed is None else f"{arm.name}, seed {seed}"
            part.missing += [f"{label}: {reason}"] if reason else []
    _compare(part, scores)
    return part


def _compare(part: Part, scores: Mapping[str, dict[int | None, list[float]]]) -> None:
    """Add the comparisons that an experiment asks for, of the arms that have common seeds."""
    baseline = part.experiment.baseline
    for one, other in [*((name, baseline) for name in scores if name != baseline), *part.experiment.compared]:
        columns = [
            [{seed: cells[column] for seed, cells in scores[name].items()} for name in (one, other)]
            for column in range(len(part.columns))
        ]
        difference = paired(*columns[-1])
        if difference is not None:
            part.comparisons[f"{one} − {other}"] = difference
            part.effects[f"{one} − {other}"] = [show_effect(differences_of(*column)) for column in columns]
    part.comparisons = corrected(part.comparisons)


def _runs_of(arm: Arm, scale: Scale, model: str, records: Mapping[str, Record]) -> list[Record]:
    """Return the arm's records by seed, without those for which the command line changed what the arm sets."""
    seeds = sorted({record["seed"] for record in records.values()} - {None}) if arm.pooler is None else [None]
    slugs = (slug_of(model, arm.options, scale, seed, arm.pooler) for seed in seeds)
    return [
        record
        for record in map(records.get, slugs)
        if record is not None
        and all(str(record["options"].get(name, value)) == str(value) for name, value in arm.options.items())
    ]


def _scores(record: Record, tasks: Sequence[str]) -> list[float]:
    """Return the numbers of one run in a table, average last; none if one is missing."""
    values = [record["scores"].get(task) for task in tasks or [SAMPLE_PAIRS]]
    if None in values:
        return []
    return [*values, sum(values) / len(values)] if tasks else values


def _quoted(row: Quoted, ours: Sequence[Summary], columns: int) -> Row:
    numbers = row.scores or (*[None] * (columns - 1), row.average)
    spreads = row.spread or [None] * columns
    cells = [
        "" if number is None else f"{number:.2f}" + (f" ± {sd:.2f}" if sd is not None else "")
        for number, sd in zip(numbers, spreads, strict=True)
    ]
    if not ours or not row.comparable:
        return Row(row.label, "quoted", cells, remark="not comparable" if ours else "")
    within = inside(ours[-1], numbers[-1], spreads[-1])
    verdict = {None: "one run: no spread", True: "inside the spread", False: "outside the spread"}[within]
    return Row(row.label, "quoted", cells, remark=f"ours {ours[-1].mean - numbers[-1]:+.2f}, {verdict}")


def _why_missing(slug: str, runs: Sequence[Record], tasks: Iterable[str], failures: Mapping[str, str]) -> str:
    """Of a run that a part's own runs lead to expect; empty if nothing of it is missing."""
    if slug in failures:
        return f"failed: {failures[slug]}"
    record = next((record for record in runs if record["run"] == slug), None)
    if record is None:
        return "not run"
    unscored = [task for task in tasks if record["scores"].get(task) is None]
    return f"no score of {', '.join(unscored)}" if unscored else ""
