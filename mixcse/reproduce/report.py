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
from mixcse.reproduce.parts import SIGNALS, Part, Record, make_part
from mixcse.reproduce.record import Records

FIGURE_FOLDER = "figures"
NOT_TOLD = {"senteval_data", "logging_steps", "variant"}  # of what differs: a place, a habit, what the rows say anyway


@dataclass
class Section:
    """One folder of records, or the paper scale's quoted rows alone.

    Attributes:
        folder: of the records, from the results folder; "" without any.
    """

    scale: Scale
    folder: str
    parts: list[Part] = field(default_factory=list)
    unmeasured: list[Experiment] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The scale's, and where the records lie."""
        return f"{self.scale.title} ({self.folder})" if self.folder else self.scale.title

    @property
    def command(self) -> str:
        """What measures more of it."""
        return f"python -m mixcse.reproduce run NAME --scale {self.scale.name}"

    @property
    def measured(self) -> bool:
        """Whether anything was measured here."""
        return any(part.measured for part in self.parts)


def write_report(results: Path) -> list[Path]:
    """Reads every `runs` folder below `results` and writes `report.md`, its figures and `report.html` there.

    Raises:
        UserError: there is no such folder, or it cannot be written to.
    """
    if not results.is_dir():
        raise UserError(f"--results_dir {results}: no such folder; make records with python -m mixcse.reproduce run")
    sections = [make_section(folder.parent, results) for folder in sorted(results.glob("**/runs"))]
    sections = [section for section in sections if section.measured]
    if not any(section.scale.name == "paper" for section in sections):
        sections.append(_section(load_scale("paper"), "", {}, {}))
    sections.sort(key=lambda section: (not section.measured, section.scale.name != "paper"))
    html, markdown = results / "report.html", results / "report.md"
    try:
        for figure in (figure for section in sections for part in section.parts for figure in part.figures):
            write_text(results / figure.file, figure.content)
        for file in (markdown, html):
            template = f"results{file.suffix}"
            write_text(file, page(template, sections=sections, signal_columns=list(SIGNALS.values())))
    except OSError as error:
        raise UserError(f"--results_dir {results}: {error.strerror}") from error
    return [markdown, html]


def make_section(folder: Path, results: Path) -> Section:
    """Everything about the records in `<folder>/runs`; those of another scale than the first are left out."""
    store = Records(folder)
    records = store.read()
    scale = load_scale(next((one["scale"] for one in records.values() if one.get("scale") in SCALES), "demo"))
    records = {slug: record for slug, record in records.items() if record.get("scale") == scale.name}
    return _section(scale, folder.relative_to(results).as_posix(), records, store.failures())


def _section(scale: Scale, folder: str, records: dict[str, Record], failures: dict[str, str]) -> Section:
    section = Section(scale, folder)
    others = sorted({record["model"] for record in records.values()} - set(scale.models))
    main: set[str] = set()
    for experiment in load_experiments().values():
        parts = [make_part(experiment, scale, model, records, failures) for model in [*scale.models, *others]]
        if not main:
            main = {row.run for part in parts for row in part.raw}
        shown = [part for part in parts if part.worth_showing(main)]
        section.parts += [part for part in parts if part in shown or part.quoted]
        if not shown:
            section.unmeasured.append(experiment)
    for part in section.parts:
        part.figures = _draw(part, section)
    if records:
        section.machines = sorted({_machine(record) for record in records.values()})
        section.differences = _differences(scale, records)
        section.warnings = _warnings(records)
    return section


def _draw(part: Part, section: Section) -> list[Shown]:
    drawn = {name: draw_figure(name, part.traces) for name in part.experiment.figures} if part.traces else {}
    where = section.folder.replace("/", "-") or section.scale.name
    prefix = f"{where}-{part.model}-{part.experiment.name}"
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
    here = {**scale.options, **next(iter(scale.models.values()))}
    set_by_arms: dict[str, set[str]] = {}
    for arm in (arm for experiment in load_experiments().values() for arm in experiment.arms):
        for name, value in arm.options.items():
            set_by_arms.setdefault(name, set()).add(_value(value))
    trained = [record["options"] for record in records.values() if record["untrained_pooler"] is None]
    lines = []
    for name in sorted({name for options in trained for name in options} - NOT_TOLD):
        values = {_value(options.get(name)) for options in trained}
        if len(values) > 1:
            values = values - set_by_arms.get(name, set()) or {_value(here.get(name))}
        there = _value(recipe.get(name))
        own = scale.name == "paper" and name in next(iter(paper.models.values()))  # each model has its own
        if values != {there} and not own:
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
