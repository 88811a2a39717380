"""What scaling.py measured, as tables."""

from typing import Any

from mixcse.evaluate.tables import table

Row = dict[str, Any]


def tables(results: Row) -> list[str]:
    """A line about the machine, and tables of the parts that were measured."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "transformers", "datasets"))
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}"]
    if rows := results.get("corpus"):
        loads = [
            [f"{row['lines']:,}", "cache" if row["what"] == "cached load" else "nothing", row["workers"]]
            + [row["seconds"], f"{row['lines'] / row['seconds']:,.0f}", *_megabytes(row, "before_mb", "peak_mb")]
            for row in rows
            if "seconds" in row
        ]
        runs = [
            [f"{row['lines']:,}", row["first_step_after"], 1000 * row["step_seconds"]]
            + _megabytes(row, "before_mb", "peak_mb")
            for row in rows
            if row["what"] == "training"
        ]
        heads = ["lines", "from", "processes", "s", "lines/s", "MB before", "peak MB"]
        lines += ["corpus: reading and tokenising", table(heads, *loads)]
        lines += ["corpus: 50 steps of a tiny BERT, batch 64, 1 thread"]
        lines += [table(["lines", "first step after s", "ms a step", "MB before", "peak MB"], *runs)]
    if rows := results.get("batch"):
        cells = [[row["batch"], row["how"], row.get("step_seconds"), *_megabytes(row, "peak_mb")] for row in rows]
        lines += ["batch: the demo's encoder", table(["batch", "encoded", "s a step", "peak MB"], *cells)]
    if rows := results.get("processes"):
        cells = [[row["processes"], row.get("step_seconds"), *_megabytes(row, "peak_mb")] for row in rows]
        lines += ["processes: the demo's encoder, batch 64, 1 thread each"]
        lines += [table(["processes", "s a step", "peak MB of one"], *cells)]
    return lines


def _megabytes(row: Row, *names: str) -> list[str | None]:
    return [f"{row[name]:,.0f}" if name in row else None for name in names]
