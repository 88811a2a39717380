"""`report`: whatever has been measured, beside what others have, as Markdown and as one HTML file."""

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixcse.base.errors import UserError
from mixcse.base.files import write_text
from mixcse.data.fetch import CORPUS
from mixcse.report.figures import draw_figure
from mixcse.report.pages import Shown, page, show
from mixcse.reproduce.experiment import SCALES, Experiment, Scale, load_experiments, load_scale
from mixcse.reproduce.keys import code_key
from mixcse.reproduce.parts import SIGNALS, Part, Record, make_part
from mixcse.reproduce.plan import as_arguments
from mixcse.reproduce.record import Records

FIGURE_FOLDER = "figures"
NOT_TOLD = {"logging_steps"}  # changes nothing


@dataclass
class Section:
    """One folder of records, or the paper scale's quoted rows alone.

    Attributes:
        folder: of the records, from the results folder; "" without any.
        renew: the command that makes those anew that another version of the code made.
    """

    scale: Scale
    folder: str
    parts: list[Part] = field(default_factory=list)
    unmeasured: list[Experiment] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    renew: str = ""

    @property
    def title(self) -> str:
        """The scale's, and where the records lie."""
        return f"{self.scale.title} ({self.folder})" if self.folder else self.scale.title

    @property
    def command(self) -> str:
        """What measures more of it."""
        return f"python -m mixcse.reproduce run NAME --scale {self.scale.name}"

    @property
    def summary(self) -> Part | None:
        """The first part in which arms are compared."""
        return next((part for part in self.parts if part.comparisons), None)

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
    sections = [one for folder in sorted(results.glob("**/runs")) for one in make_sections(folder.parent, results)]
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


def make_sections(folder: Path, results: Path) -> list[Section]:
    """Everything about the records in `<folder>/runs`, a section for each scale."""
    store = Records(folder)
    records, failures = store.read(), store.failures()
    sections = []
    for name in SCALES:
        own = {slug: record for slug, record in records.items() if record.get("scale") == name}
        # Failures carry no scale: they go where the records are, or to the folder's own.
        if own or (failures and not records and name in folder.parts):
            sections.append(_section(load_scale(name), folder.relative_to(results).as_posix(), own, failures))
    return sections


def _section(scale: Scale, folder: str, records: dict[str, Record], failures: dict[str, str]) -> Section:
    records, warnings = _agreeing(records)
    section = Section(scale, "" if folder == "." else folder, warnings=warnings)
    others = sorted({record["model"] for record in records.values()} - set(scale.models))
    main: set[str] = set()
    for experiment in load_experiments().values():
        parts = [make_part(experiment, scale, model, records, failures) for model in [*scale.models, *others]]
        if experiment.name == "main":
            main = {row.run for part in parts for row in part.raw}
        for part in parts:
            part.figures_only = part.repeats(main)
        shown = [part for part in parts if part.worth_showing(main)]
        section.parts += [part for part in parts if part in shown or part.quoted]
        if not shown:
            section.unmeasured.append(experiment)
    for part in section.parts:
        part.figures = _draw(part, section)
    if records:
        section.machines = sorted({_machine(record) for record in records.values()})
        section.differences = _differences(scale, records)
        section.warnings += _warnings(records)
        if stale := {slug for slug, record in records.items() if record["keys"]["code"] != code_key()}:
            section.renew = _renewal(section, {slug: records[slug] for slug in stale})
    return section


def _renewal(section: Section, stale: dict[str, Record]) -> str:
    """The command that makes these records anew, each under its first experiment."""
    names = [part.experiment.name for part in section.parts if any(row.run in stale for row in part.raw)]
    options = {"seeds": sorted({record["seed"] for record in stale.values() if record["seed"] is not None})}
    trained = next((record for record in stale.values() if record["untrained_pooler"] is None), None)
    if trained is not None:
        options |= {"train_file": _value(trained["options"].get("train_file")), **trained.get("overrides", {})}
    run = ["-m", "mixcse.reproduce", "run", *dict.fromkeys(names), "--scale", section.scale.name]
    return shlex.join(["python", *run, *as_arguments({name: value for name, value in options.items() if value})])


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


def _agreeing(records: dict[str, Record]) -> tuple[dict[str, Record], list[str]]:
    """The records of the most common options and data: others do not belong in one mean with them."""

    def recipe(record: Record) -> str:
        return json.dumps([record.get("overrides", {}), record["keys"]["data"]], sort_keys=True)

    trained = Counter(recipe(record) for record in records.values() if record["untrained_pooler"] is None)
    if len(trained) < 2:
        return records, []
    usual = trained.most_common(1)[0][0]
    kept = {
        slug: record
        for slug, record in records.items()
        if record["untrained_pooler"] is not None or recipe(record) == usual
    }
    return kept, [f"{len(records) - len(kept)} records were made with other options or data and are left out."]


def _differences(scale: Scale, records: dict[str, Record]) -> list[tuple[str, str, str]]:
    """What these runs have in common and the paper scale's do not, as (option, there, here)."""
    trained = [record for record in records.values() if record["untrained_pooler"] is None]
    if not trained:
        return []
    paper = load_scale("paper")
    there = {**paper.options, **next(iter(paper.models.values())), "train_file": CORPUS}
    here = {**scale.options, **next(iter(scale.models.values())), **trained[0].get("overrides", {})}
    for name in ("train_file", "model_name_or_path", "metric_for_best_model"):
        if scale.name != "paper" or name == "train_file":
            here[name] = trained[0]["options"].get(name)
    names = sorted((there.keys() | here.keys()) - NOT_TOLD)
    pairs = ((name, _value(there.get(name)), _value(here.get(name))) for name in names)
    return [(name, one or "not given", other or "not given") for name, one, other in pairs if one != other]


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
    if (count := len({record["keys"]["code"] for record in trained})) > 1:
        warnings.append(f"These records come from {count} versions of the code; only equal ones are compared in pairs.")
    if len({_machine(record) for record in trained}) > 1:
        warnings.append("These records come from several machines or library versions, paired runs included.")
    if any(record["git"].get("changed_files") for record in records.values()):
        warnings.append("Some records were made with files that differ from the commit they name.")
    return warnings
