"""Results as the papers' tables."""

from typing import Any, TextIO

from prettytable import PrettyTable

from mixcse.evaluate.scores import Report, average
from mixcse.names import STS_TASKS, TRANSFER_TASKS


def table(columns: list[str], *rows: list[Any]) -> str:
    """A table with a header; numbers have two decimals, None is a dash."""
    drawn = PrettyTable(columns)
    for row in rows:
        drawn.add_row(["-" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row])
    return drawn.get_string()


def print_report(report: Report, transfer_metric: str, file: TextIO) -> None:
    """Upstream's two tables, one for other tasks, what is missing, alignment and uniformity."""
    known = [*report.headline, *report.missing]
    accuracy = "dev accuracy" if transfer_metric == "devacc" else "test accuracy"
    others = [task for task in known if task not in STS_TASKS + TRANSFER_TASKS]
    lines = [f"------ {report.mode} ------"]
    lines += _group(report, "STS: Spearman x 100", [task for task in STS_TASKS if task in known])
    lines += _group(report, f"transfer: {accuracy}", [task for task in TRANSFER_TASKS if task in known])
    lines += _group(report, f"other tasks: {accuracy}, or Pearson x 100 of -finetune tasks", others, mean=False)
    lines += [f"not scored: {task} ({reason})" for task, reason in report.missing.items()]
    if report.own:
        spearman = float("nan") if report.own["spearman"] is None else 100 * report.own["spearman"]
        lines.append(f"{report.spread['on']}: Spearman {spearman:.2f}, {report.own['nsamples']} pairs")
    if report.spread:
        words = "alignment {alignment:.4f}, uniformity {uniformity:.4f} (lower is better; {on})"
        lines.append(words.format(**report.spread))
    print("\n".join(lines), file=file, flush=True)


def _group(report: Report, title: str, tasks: list[str], *, mean: bool = True) -> list[str]:
    scored = [report.headline[task] for task in tasks if task in report.headline]
    if not scored:
        return []
    columns, row = tasks, [report.headline.get(task) for task in tasks]
    if not mean:
        return [title, table(columns, row)]
    left_out = [f"Avg. is over the {len(scored)} scored tasks of {len(tasks)}."] if len(scored) < len(tasks) else []
    return [title, table([*columns, "Avg."], [*row, average(scored)]), *left_out]
