"""`report`: measured and quoted results, as Markdown with SVG figures."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mixcse.base.errors import UserError
from mixcse.base.files import write_text
from mixcse.data.fetch import CORPUS
from mixcse.report.figures import draw_figure, svg_of
from mixcse.reproduce.experiment import SCALES, Experiment, Scale, load_experiments, load_scale
from mixcse.reproduce.parts import SIGNALS, Drawn, Part, make_part
from mixcse.reproduce.plan import FILES
from mixcse.reproduce.record import Record, Records
from mixcse.reproduce.statistics import EFFECTS_EXPLAINED, EXPLAINED, show_p

FIGURE_FOLDER = "figures"
NOT_TOLD = {"logging_steps"}  # changes nothing


@dataclass
class Section:
    """One folder of records, or the paper scale's quoted rows alone.

    Attributes:
        folder: of the records, from the results folder; "" without any.
        made_by: machine, versions and commit of the records.
    """

    scale: Scale
    folder: str
    parts: list[Part] = field(default_factory=list)
    unmeasured: list[Experiment] = field(default_factory=list)
    made_by: list[str] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Whether anything was measured here."""
        return any(part.scored for part in self.parts)


def write_report(results: Path) -> Path:
    """Read every `runs` folder below `results`; write `report.md` and its figures there.

    Raises:
        UserError: there is no such folder.
    """
    if not results.is_dir():
        raise UserError(f"--results_dir {results}: no such folder; make records with python -m mixcse.reproduce run")
    sections = [one for folder in sorted(results.glob("**/runs")) for one in make_sections(folder.parent, results)]
    if not any(section.scale.name == "paper" for section in sections):
        sections.append(_section(load_scale("paper"), results, results, {}, {}))
    sections.sort(key=lambda section: (not section.measured, section.scale.name != "paper"))
    texts = {"explained": EXPLAINED, "effects_explained": EFFECTS_EXPLAINED, "show_p": show_p}
    loader = PackageLoader("mixcse.report")
    template = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = template.get_template("results.md")
    for figure in (figure for section in sections for part in section.parts for figure in part.figures):
        write_text(results / figure.file, figure.svg)
    file = results / "report.md"
    write_text(file, page.render(sections=sections, signal_columns=list(SIGNALS.values()), **texts))
    return file


def make_sections(folder: Path, results: Path) -> list[Section]:
    """Everything about the records in `<folder>/runs`, a section for each scale."""
    store = Records(folder)
    records, failures = store.read(), store.failures()
    sections = []
    for name in SCALES:
        own = {slug: record for slug, record in records.items() if record["scale"] == name}
        # Failures carry no scale: they go where the records are, or to the folder's own.
        if own or (failures and not records and name in folder.parts):
            sections.append(_section(load_scale(name), folder, results, own, failures))
    return sections


def _section(
    scale: Scale, folder: Path, results: Path, records: dict[str, Record], failures: dict[str, str]
) -> Section:
    records, warnings = _agreeing(records)
    where = "" if folder == results else folder.relative_to(results).as_posix()
    section = Section(scale, where, warnings=warnings)
    others = sorted({record["model"] for record in records.values()} - set(scale.models))
    main: set[str] = set()
    for experiment in (one for one in load_experiments().values() if one.arms_at(scale.name)):
        parts = [make_part(experiment, scale, model, records, failures) for model in [*scale.models, *others]]
        if experiment.name == "main":
            main = set().union(*(part.runs for part in parts))
        for part in parts:
            part.figures_only = bool(experiment.figures) and experiment.name != "main" and part.runs <= main
        shown = [part for part in parts if part.worth_showing(main)]
        section.parts += [part for part in parts if part in shown or part.quoted]
        if not shown:
            section.unmeasured.append(experiment)
    for part in section.parts:
        part.figures = _draw(part, section)
    trained = [record for record in records.values() if record["pooler"] is None]
    section.made_by = sorted({_made_by(record) for record in records.values()})
    section.differences = _differences(scale, trained)
    if len({_made_by(record) for record in trained}) > 1:
        section.warnings.append(
            "These records come from several machines, library versions or commits, paired runs included."
        )
    return section


def _draw(part: Part, section: Section) -> list[Drawn]:
    drawn = {name: draw_figure(name, part.traces) for name in part.experiment.figures} if part.traces else {}
    where = section.folder.replace("/", "-") or section.scale.name
    prefix = f"{where}-{part.model}-{part.experiment.name}"
    return [
        Drawn(figure[1], f"{FIGURE_FOLDER}/{prefix}-{name}.svg", svg_of(figure[0], f"{prefix}-{name}"))
        for name, figure in drawn.items()
        if figure is not None
    ]


def _made_by(record: Record) -> str:
    one = record["machine"]
    libraries = ", ".join(f"{name} {one[name]}" for name in ("python", "torch", "transformers"))
    device = one["processor"] if one["device"] == "cpu" else one["device"]
    commit = f"commit {record['commit'][:10]}" if record["commit"] else f"mixcse {one['mixcse']}, outside a repository"
    changed = " with uncommitted changes" if record["dirty"] else ""
    return f"{device}, {one['cores']} cores, {one['system']}; {libraries}; {commit}{changed}"


def _agreeing(records: dict[str, Record]) -> tuple[dict[str, Record], list[str]]:
    """Return the records of the most common options and data, and a warning if others are left out of the means."""
    recipes = {
        slug: json.dumps([record["overrides"], [record["data"].get(name) for name in (*FILES, "test_pairs", "STS")]])
        for slug, record in records.items()
        if record["pooler"] is None
    }
    others = {recipe for recipe, _ in Counter(recipes.values()).most_common()[1:]}
    kept = {slug: record for slug, record in records.items() if recipes.get(slug) not in others}
    if not others:
        return kept, []
    return kept, [f"{len(records) - len(kept)} records were made with other options or data and are left out."]


def _differences(scale: Scale, trained: list[Record]) -> list[tuple[str, str, str]]:
    """What these runs have in common and the paper scale's do not, as (option, there, here)."""
    if not trained:
        return []
    there = load_scale("paper").recipe() | {"train_file": CORPUS}
    here = scale.recipe() | trained[0]["overrides"]
    for name in ("train_file", "model_name_or_path", "metric_for_best_model"):
        if scale.name != "paper" or name == "train_file":
            here[name] = trained[0]["options"].get(name)
    names = sorted((there.keys() | here.keys()) - NOT_TOLD)
    pairs = ((name, _value(there.get(name)), _value(here.get(name))) for name in names)
    return [(name, one, other) for name, one, other in pairs if one != other]


def _value(value: Any) -> str:
    if value is None:
        return "not given"
    path = Path(str(value))
    if path.name == "model":  # the demo's encoder: its package says more than the folder in it
        path = path.parent
    return path.name if len(path.parts) > 1 else str(value)
