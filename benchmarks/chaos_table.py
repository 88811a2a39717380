"""Of chaos.py: its results as tables, and for JSON."""

import signal
from typing import Any

from chaos_plans import EARLY, LATE, PROGRAM
from prettytable import PrettyTable

NAMES = {1: "1 process", 2: "2 processes"}
KINDS = ("kills", "at a moment", "at a time", *NAMES.values(), "one of two")
Results = dict[str, Any]


def tables(results: Results) -> list[str]:
    """Kills by phase, what came of the runs, and the line that says it all."""
    return [str(kills_by_phase(results)), str(outcomes(results)), summary(results)]


def told(results: Results) -> Results:
    """The same with what the tables say, and a line for each attempt."""
    counted = {"kills_by_phase": _kills(results), "outcomes": {name: _outcome(results, n) for n, name in NAMES.items()}}
    runs = [run | {"attempts": [_line(attempt) for attempt in run["attempts"]]} for run in results["runs"]]
    return results | {"summary": summary(results)} | counted | {"runs": runs}


def summary(results: Results) -> str:
    """The line."""
    runs = results["runs"]
    same = sum(run["finished"] and not run["wrong"] for run in runs)
    return (
        f"{results['kills']} kills in {len(runs)} runs: {same} of {len(runs)} finished "
        "with identical weights, scores and best checkpoint"
    )


def kills_by_phase(results: Results) -> PrettyTable:
    """Where they came."""
    counts = _kills(results)
    table = PrettyTable(["phase", *KINDS], align="r")
    table.align["phase"] = "l"
    for phase, count in counts.items():
        table.add_row([phase, *(count[kind] for kind in KINDS)], divider=phase == PROGRAM)
    table.add_row(["all", *(sum(count[kind] for count in counts.values()) for kind in KINDS)])
    return table


def outcomes(results: Results) -> PrettyTable:
    """What came of the runs."""
    table = PrettyTable(["", *NAMES.values()], align="r")
    table.align[""] = "l"
    rows = [_outcome(results, processes) for processes in NAMES]
    for name in rows[0]:
        table.add_row([name, *(row[name] for row in rows)])
    return table


def _kills(results: Results) -> dict[str, dict[str, int]]:
    counts = {phase: dict.fromkeys(KINDS, 0) for phase in (*EARLY, *LATE, PROGRAM)}
    for run in results["runs"]:
        for attempt in filter(lambda attempt: attempt["killed"], run["attempts"]):
            kinds = ["kills", "at a moment" if attempt["at_moment"] else "at a time", NAMES[run["processes"]]]
            for kind in kinds if attempt["plan"]["whole"] else [*kinds, "one of two"]:
                counts[attempt["phase"]][kind] += 1
    return counts


def _line(attempt: dict[str, Any]) -> str:
    plan = attempt["plan"]
    if attempt["trained"]:
        begins = "from the first step" if attempt["resumed_from"] is None else f"from step {attempt['resumed_from']}"
    else:
        begins = "not training"  # yet, or any more
    ends = "to the end"
    if attempt["killed"] or attempt["stopped"]:
        where = f"process {plan['rank']}" if not plan["whole"] and "rank" in plan else "all" if plan["whole"] else "one"
        how = "at a moment" if attempt["at_moment"] else "at a time"
        ends = f"{signal.Signals(plan['signal']).name} in {attempt['phase']} {how}, to {where}"
    codes = "exit codes " + " ".join(map(str, attempt["codes"]))
    damaged = [attempt["damaged"]] if attempt["damaged"] else []
    return "; ".join([begins, ends, codes, *["damage skipped"] * attempt["skipped"], *damaged])


def _outcome(results: Results, processes: int) -> dict[str, Any]:
    runs = [run for run in results["runs"] if run["processes"] == processes]
    attempts = [attempt for run in runs for attempt in run["attempts"]]
    begun = [attempt for attempt in attempts if attempt["trained"]]
    signalled = [attempt for attempt in attempts if attempt["stopped"]]
    return {
        "runs": len(runs),
        "finished": sum(run["finished"] for run in runs),
        "identical to an undisturbed one": sum(run["finished"] and not run["wrong"] for run in runs),
        "attempts": len(attempts),
        "from the first step": sum(attempt["resumed_from"] is None for attempt in begun),
        "continued from a checkpoint": sum(attempt["resumed_from"] is not None for attempt in begun),
        "stopped by SIGINT, exit code 130": sum(130 in attempt["codes"] for attempt in signalled),
        "stopped by SIGTERM, exit code 143": sum(143 in attempt["codes"] for attempt in signalled),
        "checkpoints damaged": sum(attempt["damaged"] is not None for attempt in attempts),
        "skipped with a warning": sum(attempt["skipped"] for attempt in attempts),
    }
