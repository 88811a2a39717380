"""Of chaos.py: a tiny training, attempts at it that are killed, and what comes of them in the end."""

import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_family import attempt
from chaos_hooks import Plan
from tiny import make_corpus

from mixcse.base.files import read_json
from mixcse.train.checkpoints import PREFIX, STATE_FILE, checkpoints
from mixcse.train.folder import FINISHED_FILE, SCORES_FILE

STEPS, EVERY, LIMIT, BATCH = 36, 3, 2, 8  # --max_steps, --eval_steps, --save_total_limit; sentences a step
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
WEIGHTS_FILE = "model.safetensors"
OF_LAST_ATTEMPT = "train_runtime"  # in the log's last entry
SAME_FILES = (SCORES_FILE, "README.md", "config.json", "tokenizer.json")


def make_inputs(folder: Path, model: Path, steps: int = STEPS) -> list[str]:
    """Writes a corpus and a dev set; the options of two epochs of training, but for those of a `Run`."""
    train, dev = make_corpus(folder, steps * BATCH // 2, 40)
    return [
        *("--model_name_or_path", str(model), "--train_file", str(train), "--validation_file", str(dev)),
        *("--do_train", "--use_cpu", "--max_steps", str(steps), "--eval_steps", str(EVERY)),
        *("--save_total_limit", str(LIMIT), "--logging_steps", "1", "--learning_rate", "1e-2"),
    ]


@dataclass
class Run:
    """One command, again and again until it has finished, in a folder of its own.

    Args:
        inputs: its options, as `make_inputs` gives them.
    """

    folder: Path
    processes: int
    inputs: Sequence[str]
    events: list[dict[str, Any]] = field(default_factory=list)  # what became of each attempt
    problems: list[str] = field(default_factory=list)
    finished: bool = False
    unseen: set[str] = field(default_factory=set)  # damaged checkpoints of which no attempt has warned

    def __post_init__(self) -> None:
        self.out = self.folder / "out"
        self.folder.mkdir(parents=True)
        batch = str(BATCH // self.processes)
        self.argv = [*self.inputs, "--per_device_train_batch_size", batch, "--output_dir", str(self.out)]

    @property
    def log(self) -> Path:
        """Of the next attempt."""
        return self.folder / f"{len(self.events)}.log"

    @property
    def step(self) -> int:
        """That of its newest checkpoint."""
        return max(checkpoints(self.out), default=0)

    def attempt(self, plan: Plan | None = None) -> dict[str, Any]:
        """Makes one in a forked process, or several; judges how it ended."""
        answer = attempt(self.argv, self.processes, self.folder, self.log, plan)
        return answer | self.note(plan, answer)

    def note(self, plan: Plan | None, answer: dict[str, Any]) -> dict[str, Any]:
        """Judges how an attempt ended, and what it said in its log; adds it to `events`."""
        number, codes, said = len(self.events), answer["codes"], self.log.read_text(errors="replace")
        killed = plan is not None and plan["signal"] == signal.SIGKILL and -signal.SIGKILL in codes
        stopped = plan is not None and codes[0] == EXIT_CODES.get(plan["signal"])  # the others may have ended
        self.finished = not any(codes)
        lines = said.splitlines()
        if not (killed or stopped or self.finished):
            self.problems.append(f"attempt {number}: exit codes {codes}: {''.join(lines[-1:])}")
        resumed = [line.rpartition(PREFIX)[2] for line in lines if line.startswith("continuing from ")]
        skipped = {name for name in self.unseen if f"{self.out / name} is skipped: " in said}
        self.unseen -= skipped
        if resumed and f"{PREFIX}{resumed[0]}" in self.unseen:
            self.problems.append(f"attempt {number}: continued from the damaged {PREFIX}{resumed[0]}")
        event = {
            "plan": plan, "codes": codes, "killed": killed, "stopped": stopped, "phase": answer["phase"],
            "at_moment": answer["at_moment"], "trained": any(line.startswith("training ") for line in lines),
            "resumed_from": int(resumed[0]) if resumed else None, "skipped": len(skipped), "damaged": None,
        }  # fmt: skip
        self.events.append(event)
        return event

    def damage(self, draw: random.Random) -> None:
        """Shortens, changes or deletes a file of the newest checkpoint, if there is one that is still needed."""
        if not self.step or (self.out / FINISHED_FILE).exists():
            return
        checkpoint = self.out / f"{PREFIX}{self.step}"
        file = draw.choice(sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size))
        content, how = bytearray(file.read_bytes()), draw.choice(("shortened", "one bit changed", "deleted"))
        if how == "shortened":
            os.truncate(file, draw.randrange(len(content)))
        elif how == "deleted":
            file.unlink()
        else:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            file.write_bytes(content)
        self.unseen.add(checkpoint.name)
        self.events[-1]["damaged"] = f"{file.relative_to(self.out)} {how}"

    def wrong(self, undisturbed: "Run") -> list[str]:
        """Everything that is wrong with it, now that it has ended."""
        unseen = [f"{name} was damaged, and nothing said so" for name in sorted(self.unseen)]
        differing = differences(self.out, undisturbed.out) if self.finished else ["it did not finish"]
        return self.problems + unseen + differing


def differences(out: Path, undisturbed: Path) -> list[str]:
    """What a finished run's folder has other than that of an undisturbed one, and what should not lie there."""
    state, expected = (read_json(folder / STATE_FILE) for folder in (out, undisturbed))
    best = Path(expected["best_model_checkpoint"]).name
    for one in (state, expected):
        one["best_model_checkpoint"] = Path(one["best_model_checkpoint"]).name
    names = ("global_step", "best_global_step", "best_metric", "best_model_checkpoint")
    found = [f"{name} is {state[name]}, not {expected[name]}" for name in names if state[name] != expected[name]]
    log, expected_log = _log(state), _log(expected)
    steps = sorted(step for step in log | expected_log if log.get(step) != expected_log.get(step))
    found += [f"other scores or losses in the log, from step {step} on" for step in steps[:1]]
    same = (*SAME_FILES, WEIGHTS_FILE, f"{best}/{WEIGHTS_FILE}")
    found += [f"{name} differs" for name in same if _content(out / name) != _content(undisturbed / name)]
    there, expected_there = _names(out), _names(undisturbed)
    found += [f"left over: {name}" for name in sorted(there - expected_there)]
    found += [f"missing: {name}" for name in sorted(expected_there - there)]
    if len(checkpoints(out)) > LIMIT + 1:
        found.append(f"{len(checkpoints(out))} checkpoints, more than {LIMIT} and the best")
    return found


def _log(state: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """By step, all that was logged."""
    found: dict[int, dict[str, Any]] = {}
    for entry in state["log_history"]:
        if OF_LAST_ATTEMPT not in entry:
            found.setdefault(entry["step"], {}).update(entry)
    return found


def _names(out: Path) -> set[str]:
    """Of all files, with those of checkpoints only if they should not be there."""
    kept = {path.name for path in checkpoints(out).values()}
    paths = (path.relative_to(out) for path in out.rglob("*") if not path.is_dir() or path.name.startswith("."))
    return {str(path) for path in paths if path.parts[0] not in kept or path.name.startswith(".")}


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
