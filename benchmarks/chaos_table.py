"""Of chaos.py: its results as tables, and for JSON."""

import signal
from typing import Any

from chaos_plans import EARLY, LATE, PROGRAM
from prettytable import PrettyTable

NAMES = {1: "1 process", 2: "2 processes"}
KINDS = ("kills", "at a moment", "at a time", *NAMES.values(), "one of two")
Results = dict[str, Any]


def tables(results: Results) -> list[str]:
    """Of `told` results: kills by phase, what came of the runs, and the line that says it all."""
    kills, outcomes = results["kills_by_phase"], results["outcomes"]
    phases = PrettyTable(["phase", *KINDS], align="r")
    for phase, count in kills.items():
        phases.add_row([phase, *count.values()], divider=phase == PROGRAM)
    phases.add_row(["all", *map(sum, zip(*(count.values() for count in kills.values()), strict=True))])
    of_runs = PrettyTable(["", *outcomes], align="r")
    of_runs.add_rows([[name, *(one[name] for one in outcomes.values())] for name in outcomes[NAMES[1]]])
    phases.align["phase"] = of_runs.align[""] = "l"
    return [str(phases), str(of_runs), results["summary"]]


def told(results: Results) -> Results:
    """The results with what the tables say, and a line for each attempt."""
    runs = results["runs"]
    same = sum(run["finished"] and not run["wrong"] for run in runs)
    summary = (
        f"{results['kills']} kills in {len(runs)} runs: {same} of {len(runs)} finished "
        "with identical weights, scores and best checkpoint"
    )
    outcomes = {name: _outcome([run for run in runs if run["processes"] == n]) for n, name in NAMES.items()}
    lines = [run | {"attempts": [_line(attempt) for attempt in run["attempts"]]} for run in runs]
    return results | {
        "summary": summary, "kills_by_phase": _kills(runs), "outcomes": outcomes, "runs": lines
    }  # fmt: skip


def _kills(runs: list[Results]) -> dict[str, dict[str, int]]:
    counts = {phase: dict.fromkeys(KINDS, 0) for phase in (*EARLY, *LATE, PROGRAM)}
    for run in runs:
        for attempt in filter(lambda attempt: attempt["killed"], run["attempts"]):
            kinds = ["kills", "at a moment" if attempt["at_moment"] else "at a time", NAMES[run["processes"]]]
            for kind in kinds if attempt["plan"]["whole"] else [*kinds, "one of two"]:
                counts[attempt["phase"]][kind] += 1
    return counts


def _line(attempt: Results) -> str:
    plan, begins, ends = attempt["plan"], "not training", "to the end"  # not yet, or no longer
    if attempt["trained"]:
        begins = "from the first step" if attempt["resumed_from"] is None else f"from step {attempt['resumed_from']}"
    if attempt["killed"] or attempt["stopped"]:
        whom = "all" if plan["whole"] else f"process {plan['rank']}" if "rank" in plan else "one"
        how = "at a moment" if attempt["at_moment"] else "at a time"
        ends = f"{signal.Signals(plan['signal']).name} in {attempt['phase']} {how}, to {whom}"
    codes = "exit codes " + " ".join(map(str, attempt["codes"]))
    damaged = [attempt["damaged"]] if attempt["damaged"] else []
    return "; ".join([begins, ends, codes, *["damage skipped"] * attempt["skipped"], *damaged])


def _outcome(runs: list[Results]) -> dict[str, Any]:
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
