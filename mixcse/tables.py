"""Results as the papers' tables, on stdout."""

import sys
from typing import TYPE_CHECKING, Any

from prettytable import PrettyTable

if TYPE_CHECKING:
    from mixcse.evaluation import Report


def table(columns: list[str], *rows: list[Any]) -> str:
    """A table with a header; numbers have two decimals, None is a dash."""
    drawn = PrettyTable(columns)
    for row in rows:
        drawn.add_row(["-" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row])
    return drawn.get_string()


def print_report(report: "Report") -> None:
    """Upstream's table, what is missing from it, and alignment and uniformity."""
    lines = [f"------ {report.mode} ------"]
    tasks = [*report.headline, *report.missing]
    if report.headline:
        scores = [report.headline.get(task) for task in tasks]
        average = sum(report.headline.values()) / len(report.headline)
        lines.append(table([*tasks, "Avg."], [*scores, average]))
    if report.missing and report.headline:
        lines.append(f"Avg. is over the {len(report.headline)} scored tasks of {len(tasks)}.")
    lines += [f"not scored: {task} ({reason})" for task, reason in report.missing.items()]
    if report.own:
        lines.append(
            f"{report.spread['on']}: Spearman {100 * report.own['spearman'][0]:.2f}, {report.own['nsamples']} pairs"
        )
    if report.spread:
        lines.append(
            "alignment {alignment:.4f}, uniformity {uniformity:.4f} (lower is better; {on})".format(**report.spread)
        )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
