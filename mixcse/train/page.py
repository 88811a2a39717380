"""What a training run shows of itself: `report.html` and `curves.png` in its folder."""

from pathlib import Path
from typing import Any

from mixcse.base.files import read_json, write_text
from mixcse.report.figures import PLOTS, draw_figure, draw_overview
from mixcse.report.pages import inline_svg, page, save_png
from mixcse.report.traces import DEV_NAMES, Trace
from mixcse.train.folder import ARGUMENTS_FILE, COSINES_FILE, CURVES_FILE, FINISHED_FILE, REPORT_FILE

# Options that tell a run at a glance; all others are in the page's full list.
TELLING = (
    "model_name_or_path", "train_file", "dataset_name", "variant", "mixing_lambda", "temperature", "pooler_type",
    "per_device_train_batch_size", "learning_rate", "max_steps", "num_train_epochs", "max_seq_length", "seed",
)  # fmt: skip


def write_run_report(folder: Path) -> None:
    """Draws what `train.py` left in `folder`: dev scores, alignment and uniformity, loss, similarities, gradient."""
    history = read_json(folder / "trainer_state.json")["log_history"]
    arguments, results = read_json(folder / ARGUMENTS_FILE), read_json(folder / FINISHED_FILE)
    scores = folder / "eval_results.json"
    kept = read_json(scores) if scores.is_file() else {}
    trace = Trace("this run", [history], [read_json(folder / COSINES_FILE)])
    figures = [drawn for name in (*PLOTS, "cosines") if (drawn := draw_figure(name, [trace])) is not None]
    text = page(
        "run.html",
        name=folder.name,
        telling={name: arguments[name] for name in TELLING if arguments.get(name) is not None},
        arguments=arguments,
        kept=kept,
        dev=_dev_table(history),
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


def _dev_table(history: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Columns of the table of evaluations: `step`, then whatever was scored; Spearman × 100."""
    evaluations = [entry for entry in history if any(name.startswith("eval_") for name in entry)]
    names = [name for name in evaluations[0] if name.startswith("eval_")] if evaluations else []
    table = {"step": [str(entry["step"]) for entry in evaluations]} if evaluations else {}
    order = [*DEV_NAMES, *sorted(names)]
    for name in sorted(names, key=order.index):
        scale, digits = (100, 2) if name.endswith("_spearman") or name == "eval_avg_sts" else (1, 3)
        title = DEV_NAMES.get(name, name.removeprefix("eval_").replace("_", " "))
        table[title] = [
            f"{scale * entry[name]:.{digits}f}" if isinstance(entry.get(name), int | float) else "–"
            for entry in evaluations
        ]
    return table
