"""Kills a tiny training at random moments, over and over, and sees whether its result is what it would have been.

    python benchmarks/chaos.py --kills 200 [--processes 1 2] [--seed 0] [--cold 12] [--output benchmarks/chaos.json]

A run is the same command in the same folder until it has finished; each attempt is killed with
SIGKILL: at a drawn moment of a drawn phase (before a file is renamed, say, or with half of it
written), so long after a phase has begun, or at any time.  Of two processes both are killed, or
one alone.  Some attempts get SIGINT or SIGTERM instead, and have to exit with 130 or 143; after
some a file of the newest checkpoint is shortened, changed or deleted, which has to be noticed.
A finished run is compared with an undisturbed one: weights, everything logged at every step but
times, best step and score, the best checkpoint, dev scores, model card; nothing may be
left over.

Attempts are forked from a server that has imported everything (chaos_family.py): each is
one of its own, with the time for imports saved.  `--cold` of the kills are of whole programs
instead, `python train.py` or `torchrun train.py`, at any time.
"""

import argparse
import random
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from chaos_plans import DAMAGED, EARLY, LATE, PROGRAM, cold_attempt, next_plan
from chaos_runs import Run, make_inputs
from machine import machine
from tiny import make_bert
from tqdm import tqdm

from mixcse.base.console import OneLineParser
from mixcse.base.errors import UserError
from mixcse.base.files import ROOT, write_json
from mixcse.base.program import run_cli
from mixcse.evaluate.tables import table
from mixcse.reproduce.record import git_state

MOST_ATTEMPTS = 80  # in a run
NAMES = {1: "1 process", 2: "2 processes"}
KINDS = ("kills", "at a moment", "at a time", *NAMES.values(), "one of two")
Results = dict[str, Any]


def main(argv: list[str]) -> None:
    """Kills, and prints what came of it."""
    options = parse(argv)
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="mixcse-chaos-"))
    make_bert(folder / "bert")
    with tqdm(total=options.kills, unit="kill", smoothing=0) as bar:
        chaos = Chaos(options, folder, bar)
        chaos.undisturbed()
        while chaos.kills < options.kills:
            chaos.run()
    command = shlex.join(["python", "benchmarks/chaos.py", *argv])
    measured = {"kills": chaos.kills, "runs": chaos.runs}
    results = told({"command": command, "machine": machine(threads=1), "git": git_state(), **measured})
    if options.output:
        write_json(options.output, results)
    print("\n".join([results["machine"], *tables(results)]))
    if any(run["wrong"] for run in chaos.runs):
        raise UserError(f"not all runs came out the same; what they left is in {folder}")
    shutil.rmtree(folder)


class Chaos:
    """Runs, one after the other, and what became of them."""

    def __init__(self, options: argparse.Namespace, folder: Path, bar: tqdm) -> None:
        self.options, self.folder, self.bar = options, folder, bar
        self.inputs = make_inputs(folder / "inputs", folder / "bert")
        self.whole: dict[int, Run] = {}  # by number of processes: undisturbed
        self.seen: dict[int, Any] = {}
        self.cold_seconds: dict[int, float] = {}
        self.by_phase: Counter[str] = Counter()
        self.runs: list[dict[str, Any]] = []
        self.kills = self.cold = 0

    def undisturbed(self) -> None:
        """What the others are compared with; it has to be what a program of its own gives."""
        for processes in self.options.processes:
            self.bar.set_description(f"undisturbed, {processes} process{'es' * (processes > 1)}")
            run = self.whole[processes] = Run(self.folder / f"undisturbed-{processes}", processes, self.inputs)
            self.seen[processes] = run.attempt()["ranks"]
            if not run.finished:
                raise UserError(f"an undisturbed run failed: {'; '.join(run.problems)}")
            if self.options.cold:
                program = Run(self.folder / f"program-{processes}", processes, self.inputs)
                self.cold_seconds[processes] = cold_attempt(program)["seconds"]
                if wrong := program.wrong(run):
                    raise UserError(f"a program of its own does not do what a forked process does: {'; '.join(wrong)}")

    def run(self) -> None:
        """One that is killed again and again, in the end finishes, and is compared."""
        number = len(self.runs)
        processes = self.options.processes[number % len(self.options.processes)]
        draw = random.Random(f"{self.options.seed} {number}")
        run = Run(self.folder / str(number), processes, self.inputs)
        self.bar.set_description(f"run {number}, {processes} process{'es' * (processes > 1)}")
        while not run.finished and len(run.events) < MOST_ATTEMPTS:
            self._attempt(run, draw)
        wrong = run.wrong(self.whole[processes])
        for one in wrong:
            self.bar.write(f"warning: run {number}: {one}", file=sys.stderr)
        self.runs.append({"processes": processes, "finished": run.finished, "wrong": wrong, "attempts": run.events})
        if not wrong:
            shutil.rmtree(run.folder)

    def _attempt(self, run: Run, draw: random.Random) -> None:
        left = self.options.kills - self.kills
        last = len(run.events) + 1 == MOST_ATTEMPTS
        if left and draw.random() < (self.options.cold - self.cold) / left:
            event = cold_attempt(run, draw, self.cold_seconds[run.processes])
        else:
            plan = next_plan(draw, run, self.seen[run.processes], self.by_phase) if left and not last else None
            event = run.attempt(plan)
        if event["killed"]:
            self.kills += 1
            self.cold += event["phase"] == PROGRAM
            self.by_phase[event["phase"]] += 1
            self.bar.update()
            if draw.random() < DAMAGED:
                run.damage(draw)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn: phases, moments, times, damages")
    parser.add_argument("--processes", type=int, nargs="+", choices=(1, 2), default=[1, 2], help="runs take turns")
    parser.add_argument("--cold", type=int, default=12, help="how many of the kills are of whole programs")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "chaos.json"))
    options = parser.parse_args(argv)
    if not 0 <= options.cold <= options.kills or options.kills < 1:
        raise UserError("--kills has to be at least 1, and --cold no more than that")
    return options


def tables(results: Results) -> list[str]:
    """Of `told` results: kills by phase, what came of the runs, and the line that says it all."""
    kills, outcomes = results["kills_by_phase"], results["outcomes"]
    phases = [[phase, *count.values()] for phase, count in kills.items()]
    whole = ["all", *map(sum, zip(*(count.values() for count in kills.values()), strict=True))]
    of_runs = [[name, *(one[name] for one in outcomes.values())] for name in outcomes[NAMES[1]]]
    return [table(["phase", *KINDS], *phases, whole), table(["", *outcomes], *of_runs), results["summary"]]


def told(results: Results) -> Results:
    """The results with what the tables say."""
    runs = results["runs"]
    same = sum(run["finished"] and not run["wrong"] for run in runs)
    summary = (
        f"{results['kills']} kills in {len(runs)} runs: {same} of {len(runs)} finished "
        "with identical weights, scores and best checkpoint"
    )
    outcomes = {name: _outcome([run for run in runs if run["processes"] == n]) for n, name in NAMES.items()}
    counted = [run | {"attempts": len(run["attempts"])} for run in runs]
    return results | {"summary": summary, "kills_by_phase": _kills(runs), "outcomes": outcomes, "runs": counted}


def _kills(runs: list[Results]) -> dict[str, dict[str, int]]:
    counts = {phase: dict.fromkeys(KINDS, 0) for phase in (*EARLY, *LATE, PROGRAM)}
    for run in runs:
        for attempt in filter(lambda attempt: attempt["killed"], run["attempts"]):
            kinds = ["kills", "at a moment" if attempt["at_moment"] else "at a time", NAMES[run["processes"]]]
            for kind in kinds if attempt["plan"]["whole"] else [*kinds, "one of two"]:
                counts[attempt["phase"]][kind] += 1
    return counts


def _outcome(runs: list[Results]) -> dict[str, Any]:
    attempts = [attempt for run in runs for attempt in run["attempts"]]
    begun = [attempt for attempt in attempts if attempt["trained"]]
    codes = [code for attempt in attempts if attempt["stopped"] for code in set(attempt["codes"])]
    return {
        "runs": len(runs),
        "finished": sum(run["finished"] for run in runs),
        "identical to an undisturbed one": sum(run["finished"] and not run["wrong"] for run in runs),
        "attempts": len(attempts),
        "from the first step": sum(attempt["resumed_from"] is None for attempt in begun),
        "continued from a checkpoint": sum(attempt["resumed_from"] is not None for attempt in begun),
        "stopped by SIGINT, exit code 130": codes.count(130),
        "stopped by SIGTERM, exit code 143": codes.count(143),
        "checkpoints damaged": sum(attempt["damaged"] is not None for attempt in attempts),
        "skipped with a warning": sum(attempt["skipped"] for attempt in attempts),
    }


if __name__ == "__main__":
    sys.exit(run_cli(main))
