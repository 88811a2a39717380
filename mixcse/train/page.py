"""What a training run shows of itself: `report.html` and `curves.png` in its folder."""

from pathlib import Path
from typing import Any

from mixcse.base.files import read_json, write_text
from mixcse.report.figures import PLOTS, draw_figure, draw_overview
from mixcse.report.pages import inline_svg, page, save_png
from mixcse.report.traces import DEV_NAMES, Trace
from mixcse.train.callbacks import shown
from mixcse.train.folder import ARGUMENTS_FILE, COSINES_FILE, CURVES_FILE, FINISHED_FILE, REPORT_FILE, SCORES_FILE

# Options that tell a run at a glance; all others are in the page's full list.
TELLING = (
    "model_name_or_path", "train_file", "dataset_name", "variant", "mixing_lambda", "temperature", "pooler_type",
    "per_device_train_batch_size", "learning_rate", "max_steps", "num_train_epochs", "max_seq_length", "seed",
)  # fmt: skip


def write_run_report(folder: Path) -> None:
    """Draws what `train.py` left in `folder`: dev scores, alignment and uniformity, loss, similarities, gradient."""
    history = read_json(folder / "trainer_state.json")["log_history"]
    arguments, results = read_json(folder / ARGUMENTS_FILE), read_json(folder / FINISHED_FILE)
    trace = Trace("this run", [history], [read_json(folder / COSINES_FILE)])
    figures = [drawn for name in (*PLOTS, "cosines") if (drawn := draw_figure(name, [trace])) is not None]
    evaluations = [entry for entry in history if any(name.startswith("eval_") for name in entry)]
    kept = read_json(folder / SCORES_FILE) if (folder / SCORES_FILE).is_file() else {}
    text = page(
        "run.html",
        name=folder.name,
        outcome=_outcome(arguments.get("metric_for_best_model"), evaluations, kept),
        telling={name: arguments[name] for name in TELLING if arguments.get(name) is not None},
        arguments=arguments,
        dev=_dev_table(evaluations),
        seconds=results.get("seconds"),
        resumed_from=results.get("resumed_from_step"),
        figures=[
            {"caption": caption, "svg": inline_svg(figure, f"run-{number}", caption)}
            for number, (figure, caption) in enumerate(figures)
        ],
    )
    overview = draw_overview([trace])
    if overview is not None:
        save_png(overview, folder / CURVES_FILE)
    write_text(folder / REPORT_FILE, text)  # last: where it is missing, all is drawn again


def _outcome(metric: str | None, evaluations: list[dict[str, Any]], kept: dict[str, Any]) -> str:
    """A sentence: what selects before training and after, and the step that was kept."""
    name = f"eval_{(metric or '').removeprefix('eval_')}"
    if name not in kept:
        return f"{'The' if evaluations else 'No dev set was scored; the'} last step was kept."
    before = [entry[name] for entry in evaluations if entry["step"] == 0 and name in entry]
    change = f"went from {_shown(name, before[0])} before training to" if before else "is"
    title = _title(name)[0].upper() + _title(name)[1:]
    return f"{title} {change} {_shown(name, kept[name])} at step {kept['step']}, the step that was kept."


def _dev_table(evaluations: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Columns of the table of evaluations: `step`, then whatever was scored; Spearman × 100."""
    if not evaluations:
        return {}
    names = sorted(name for name in evaluations[0] if name.startswith("eval_"))
    names.sort(key=[*DEV_NAMES, *names].index)
    return {"step": [str(entry["step"]) for entry in evaluations]} | {
        _title(name): [_shown(name, entry.get(name)) for entry in evaluations] for name in names
    }


def _title(name: str) -> str:
    return DEV_NAMES.get(name, name.removeprefix("eval_").replace("_", " "))


def _shown(name: str, value: Any) -> str:
    return shown(name.removeprefix("eval_"), value) if isinstance(value, int | float) else "–"
