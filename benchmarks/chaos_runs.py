"""Of chaos.py: a tiny training, attempts at it that are killed, and what comes of them in the end."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_inputs import BATCH, LIMIT
from safetensors.numpy import load_file

from mixcse.base.errors import first_line
from mixcse.base.files import ROOT, read_json
from mixcse.train.checkpoints import PREFIX, STATE_FILE, checkpoints
from mixcse.train.folder import COSINES_FILE, FINISHED_FILE, SCORES_FILE

NURSERY = Path(__file__).with_name("chaos_nursery.py")
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
OF_LAST_ATTEMPT = "train_runtime"  # in the log's last entry
SAME_FILES = (SCORES_FILE, COSINES_FILE, "README.md", "config.json", "tokenizer.json")
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "SentEval")]), "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip
Plan = dict[str, Any]


class Nursery:
    """The process that attempts are forked from (chaos_nursery.py)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(NURSERY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
        )

    def attempt(self, **request: Any) -> dict[str, Any]:
        """What became of one."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{NURSERY} ended with code {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """Ends it."""
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def nursery() -> Iterator[Nursery]:
    """One for a while."""
    one = Nursery()
    try:
        yield one
    finally:
        one.close()


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

    @property
    def out(self) -> Path:
        """Its --output_dir."""
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        """Its HF_DATASETS_CACHE."""
        return self.folder / "cache"

    @property
    def argv(self) -> list[str]:
        """The command's options."""
        batch = ("--per_device_train_batch_size", str(BATCH // self.processes))
        return [*self.inputs, *batch, "--output_dir", str(self.out)]

    @property
    def step(self) -> int:
        """That of its newest checkpoint."""
        return max(checkpoints(self.out), default=0)

    def attempt(self, start: Nursery, plan: Plan | None = None) -> dict[str, Any]:
        """Makes one in a forked process, or several; judges how it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{len(self.events)}.log"
        answer = start.attempt(
            argv=self.argv, plan=plan, processes=self.processes, folder=str(self.folder), cache=str(self.cache),
            log=str(log), meeting=str(log.with_suffix(".meeting")),
        )  # fmt: skip
        return answer | self.note(plan, answer, log.read_text(errors="replace"))

    def note(self, plan: Plan | None, answer: dict[str, Any], said: str) -> dict[str, Any]:
        """Judges how an attempt ended, and what it said; adds it to `events`."""
        number, codes = len(self.events), answer["codes"]
        killed = plan is not None and plan["signal"] == signal.SIGKILL and -signal.SIGKILL in codes
        stopped = plan is not None and codes[0] == EXIT_CODES.get(plan["signal"])  # the others may have ended
        self.finished = not any(codes)
        if not (killed or stopped or self.finished):
            last = [line for line in said.splitlines() if line.strip()][-1:]
            self.problems.append(f"attempt {number}: exit codes {codes}: {''.join(last)}")
        lines = said.splitlines()
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
    found = []
    state, expected = (read_json(folder / STATE_FILE) for folder in (out, undisturbed))
    for name in ("global_step", "best_global_step", "best_metric"):
        if state[name] != expected[name]:
            found.append(f"{name} is {state[name]}, not {expected[name]}")
    log, expected_log = _log(state), _log(expected)
    for step in sorted(log.keys() | expected_log.keys()):
        if log.get(step) != expected_log.get(step):
            found.append(f"other scores or losses in the log, from step {step} on")
            break
    found += [f"{name} differs" for name in SAME_FILES if _content(out / name) != _content(undisturbed / name)]
    best = Path(expected["best_model_checkpoint"]).name
    if Path(state["best_model_checkpoint"]).name != best:
        found.append(f"the best checkpoint is {state['best_model_checkpoint']}, not {best}")
    found += [f"{Path(name) / 'model.safetensors'}: other weights" for name in ("", best)
              if _weights(out / name) != _weights(undisturbed / name)]  # fmt: skip
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


def _weights(folder: Path) -> Any:
    try:
        tensors = load_file(folder / "model.safetensors")
    except Exception as error:  # safetensors has its own kinds
        return first_line(error)
    return {name: (str(tensor.dtype), tensor.shape, tensor.tobytes()) for name, tensor in tensors.items()}
