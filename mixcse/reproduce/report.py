"""`report`: whatever has been measured, beside what others have, as Markdown and as one HTML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixcse.console import UserError
from mixcse.files import write_text
from mixcse.report.figures import draw_figure
from mixcse.report.render import Shown, page, show
from mixcse.reproduce.experiments import SCALES, Experiment, Scale, load_experiments, load_scale
from mixcse.reproduce.keys import code_key
from mixcse.reproduce.parts import Part, Record, make_part
from mixcse.reproduce.record import Records

FIGURE_FOLDER = "figures"


@dataclass
class Section:
    """One scale's part of the report."""

    scale: Scale
    command: str
    parts: list[Part] = field(default_factory=list)
    unmeasured: list[Experiment] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Whether anything was measured at this scale."""
        return any(part.measured for part in self.parts)


def write_report(results: Path) -> list[Path]:
    """Reads `<results>/<scale>/runs/` and writes `report.md`, its figures and `report.html` into `<results>`.

    Raises:
        UserError: there is no such folder, or it cannot be written to.
    """
    if not results.is_dir():
        raise UserError(f"--results_dir {results}: no such folder; make records with python -m mixcse.reproduce run")
    sections = [make_section(load_scale(name), results) for name in SCALES]
    sections.sort(key=lambda section: not section.measured)
    html, markdown = results / "report.html", results / "report.md"
    try:
        for figure in (figure for section in sections for part in section.parts for figure in part.figures):
            write_text(results / figure.file, figure.content)
        write_text(markdown, page("results.md", sections=sections))
        write_text(html, page("results.html", sections=sections))
    except OSError as error:
        raise UserError(f"--results_dir {results}: {error.strerror}") from error
    return [markdown, html]


def make_section(scale: Scale, results: Path) -> Section:
    """Everything about one scale."""
    store = Records(results / scale.name)
    records, failures = store.read(), store.failures()
    records = {slug: record for slug, record in records.items() if record.get("scale") == scale.name}
    section = Section(scale, f"python -m mixcse.reproduce run NAME --scale {scale.name}")
    others = sorted({record["model"] for record in records.values()} - set(scale.models))
    main: set[str] = set()
    for experiment in load_experiments().values():
        parts = [make_part(experiment, scale, model, records, failures) for model in [*scale.models, *others]]
        if not main:
            main = {row.file for part in parts for row in part.raw}
        shown = [part for part in parts if part.worth_showing(main)]
        section.parts += [part for part in parts if part in shown or part.quoted]
        if not shown:
            section.unmeasured.append(experiment)
    for part in section.parts:
        part.figures = _draw(part, scale)
    if records:
        section.machines = sorted({_machine(record) for record in records.values()})
        section.differences = _differences(scale, records)
        section.warnings = _warnings(records)
    return section


def _draw(part: Part, scale: Scale) -> list[Shown]:
    drawn = {name: draw_figure(name, part.traces) for name in part.experiment.figures} if part.traces else {}
    prefix = f"{scale.name}-{part.model}-{part.experiment.name}"
    return [show(*figure, f"{prefix}-{name}", FIGURE_FOLDER) for name, figure in drawn.items() if figure is not None]


def _machine(record: Record) -> str:
    one = record["machine"]
    libraries = ", ".join(f"{name} {one[name]}" for name in ("python", "torch", "transformers"))
    device = one["processor"] if one["device"] == "cpu" else one["device"]
    return f"{device}, {one['cores']} cores, {one['system']}; {libraries}"


def _differences(scale: Scale, records: dict[str, Record]) -> list[tuple[str, str, str]]:
    """Options of the records' common recipe that are not the paper scale's, as (option, there, here)."""
    paper = load_scale("paper")
    recipe = {**paper.options, **next(iter(paper.models.values())), "train_file": "wiki1m_for_simcse.txt"}
    varied = {name for experiment in load_experiments().values() for arm in experiment.arms for name in arm.options}
    trained = [record["options"] for record in records.values() if record["untrained_pooler"] is None]
    lines = []
    for name in sorted({name for options in trained for name in options} - {"senteval_data", "logging_steps"}):
        values = {_value(options.get(name)) for options in trained}
        there = _value(recipe.get(name))
        if name in varied and len(values) > 1 or values == {there}:
            continue
        if scale.name == "paper" and name in next(iter(paper.models.values())):
            continue  # each model has its own
        lines.append((name, there or "not given", ", ".join(sorted(values))))
    return lines


def _value(value: Any) -> str:
    if value is None:
        return ""
    path = Path(str(value))
    if path.name == "model":  # the demo's encoder: its package says more than the folder in it
        path = path.parent
    return path.name if len(path.parts) > 1 else str(value)


def _warnings(records: dict[str, Record]) -> list[str]:
    warnings = []
    trained = [record for record in records.values() if record["untrained_pooler"] is None]
    for name, what in (("code", "versions of the code"), ("data", "sets of data")):
        if (count := len({record["keys"][name] for record in trained})) > 1:
            warnings.append(f"These records come from {count} {what}; only runs of the same one are compared in pairs.")
    if any(record["keys"]["code"] != code_key() for record in records.values()):
        warnings.append("Some records were made by another version of the code than the one that wrote this report.")
    if any(record["git"].get("changed_files") for record in records.values()):
        warnings.append("Some records were made with files that differ from the commit they name.")
    return warnings
