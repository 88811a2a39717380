"""Two checkouts side by side: same weights, scores, embeddings, help texts, JSON keys and signatures, bit for bit?

    python benchmarks/frozen.py OLD_CHECKOUT NEW_CHECKOUT [--demo] [--cache DIR] [--only SUBSTRING]

For the time of a refactoring.  Each side is run by its public commands, two at a time, on a tiny random BERT; `--demo`
adds the demo (minutes).  What is run: `frozen_jobs.py`.  The folder of `--cache` keeps what the old side gave: delete
it once this script compares something else.  A line for each comparison; exits with 1 if anything differs.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frozen_jobs import ALL, Job, make_inputs

TIMES = re.compile(r"runtime|per_second|seconds")
# Files whose values are compared too, not their keys alone.
VALUES = {
    "eval_results.json", "cosines.json", "arguments.json", "scores.json", "index.json", "train_results.json",
}  # fmt: skip
BINARY = {".npy", ".parquet", ".arrow", ".faiss"}


@dataclass
class Side:
    """A checkout, and where its runs go."""

    name: str
    checkout: Path
    work: Path
    inputs: Path
    python: str
    senteval: str
    locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def run(self, command: str, out: Path) -> str:
        """Its stdout; raises RuntimeError where it fails."""
        places = {"checkout": self.checkout, "work": self.work, "inputs": self.inputs, "senteval": self.senteval}
        words = [word.format(out=out, **places) for word in command.split()]
        env = os.environ | {
            "PYTHONPATH": f"{self.checkout}{os.pathsep}{self.checkout / 'SentEval'}", "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(self.work / "datasets"), "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1", "COLUMNS": "100",
        }  # fmt: skip
        env.pop("SENTEVAL_DATA", None)
        if words[0].endswith(".sh"):  # it finds everything installed, and installs nothing
            files = [(self.checkout / name).read_text() for name in ("requirements.txt", "pyproject.toml")]
            (self.work / ".mixcse-installed").write_text(f"{self.checkout} {''.join(files)}")
            env |= {"VIRTUAL_ENV": str(self.work), "PATH": f"{Path(self.python).parent}{os.pathsep}{env['PATH']}"}
        words = ["bash" if words[0].endswith(".sh") else self.python, *words]
        done = subprocess.run(
            words, cwd=self.checkout, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} exits with {done.returncode}: {command}: {done.stderr[-600:].strip()}")
        return self.plain(done.stdout)

    def check(self) -> None:
        """Raises RuntimeError if an installed copy would be run in place of the checkout."""
        found = self.run("-c print(__import__('mixcse').__file__,__import__('senteval').__file__,sep='\\n')", self.work)
        if not all(line.startswith("CHECKOUT/") for line in found.splitlines()):
            raise RuntimeError(f"{self.name}: what is imported does not lie in {self.checkout}: {found.split()}")

    def plain(self, text: str) -> str:
        """Without the places of this side."""
        return text.replace(str(self.work), "WORK").replace(str(self.checkout), "CHECKOUT")

    def do(self, job: Job) -> dict[str, Any]:
        """What is compared, by name."""
        out = self.work / job.name
        printed = out / "stdout.json"  # written last
        with self.locks[job.name]:
            if not printed.exists():
                for other in job.after:
                    self.do(ALL[other])
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir(parents=True)
                printed.write_text(json.dumps([self._step(command, out) for command in job.commands]))
        return {"stdout": json.loads(printed.read_text()), **self._read(out)}

    def _step(self, command: str, out: Path) -> Any:
        if command == "INTERRUPT":  # as if the run had been stopped after its 4th step
            for name in ("train_results.json", "model.safetensors"):
                (out / name).unlink()
            return shutil.rmtree(out / "checkpoint-6")
        said = self.run(command, out)
        return json.loads(said) if command.endswith("surface.py") else said

    def _read(self, out: Path) -> dict[str, Any]:
        paths = (path for path in out.rglob("*") if path.is_file() and path.name not in ("stdout.json", ".lock"))
        files = {str(path.relative_to(out)): path for path in sorted(paths)}
        known = {name: json.loads(self.plain(p.read_text())) for name, p in files.items() if p.suffix == ".json"}
        read = {
            "files": list(files),
            "weights": {name: _tensors(path) for name, path in files.items() if path.suffix == ".safetensors"},
            "keys": {name: _shape(value) for name, value in known.items() if "tokenizer" not in name},
            "values": {name: _timeless(value) for name, value in known.items() if files[name].name in VALUES},
            "log": {name: _timeless(value["log_history"]) for name, value in known.items() if "trainer_state" in name},
            "bytes": {name: _sha(path.read_bytes()) for name, path in files.items() if path.suffix in BINARY},
            "jsonl": {name: path.read_text() for name, path in files.items() if path.suffix == ".jsonl"},
            "card": {name: self.plain(path.read_text()) for name, path in files.items() if path.name == "README.md"},
        }
        return {what: value for what, value in read.items() if value}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tensors(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = {name: about for name, about in json.loads(data[8:start]).items() if name != "__metadata__"}
    spans = {name: slice(*(start + end for end in about["data_offsets"])) for name, about in header.items()}
    return {name: f"{about['dtype']} {about['shape']} {_sha(data[spans[name]])}" for name, about in header.items()}


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(_shape(one), sort_keys=True) for one in value})
    return type(value).__name__


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if not TIMES.search(key)}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def _difference(old: Any, new: Any, where: str = "") -> str:
    """Where two values differ first, and how."""
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() != new.keys():
            return f"{where} gone: {sorted(old.keys() - new.keys())}, new: {sorted(new.keys() - old.keys())}"
        key = next(key for key in old if old[key] != new[key])
        return _difference(old[key], new[key], f"{where}/{key}")
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        at = next(i for i, (one, other) in enumerate(zip(old, new, strict=True)) if one != other)
        return _difference(old[at], new[at], f"{where}[{at}]")
    if isinstance(old, str) and isinstance(new, str):
        at = len(os.path.commonprefix([old, new]))
        old, new = old[max(0, at - 30) : at + 70], new[max(0, at - 30) : at + 70]
    return f"{where}: {str(old)[:200]!r} became {str(new)[:200]!r}"


def _taken(side: Side, job: Job) -> dict[str, Any] | str:
    """What the side gives, as JSON has it; a text where it fails."""
    try:
        return json.loads(json.dumps(side.do(job)))
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        return f"{side.name} fails: {type(error).__name__}: {error}"


def _compared(job: Job, before: dict[str, Any] | str, after: dict[str, Any] | str) -> list[bool]:
    """Prints a line for each comparison; whether it is the same."""
    if isinstance(before, str) or isinstance(after, str):
        print(f"DIFFERS {job.name}: {'; '.join(said for said in (before, after) if isinstance(said, str))}", flush=True)
        return [False]
    found = []
    for what in sorted({*before, *after}):
        found.append(before.get(what) == after.get(what))
        said = "" if found[-1] else f": {_difference(before.get(what), after.get(what))}"
        print(f"{'same   ' if found[-1] else 'DIFFERS'} {job.name} {what}{said}", flush=True)
    return found


def main() -> int:
    """Compares as the command line says; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the dependencies")
    parser.add_argument("--senteval_data", default=os.environ.get("SENTEVAL_DATA"), help="without it, no SentEval task")
    parser.add_argument("--cache", type=Path, help="a folder that keeps what the old side gave")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="jobs with this in their name")
    parser.add_argument("--demo", action="store_true", help="the demo too: minutes")
    options = parser.parse_args()
    jobs = [job for job in ALL.values() if options.only in job.name and (options.demo or job.name != "demo")]
    if not options.senteval_data:
        jobs = [job for job in jobs if not any("{senteval}" in command for command in job.commands)]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        kept = (options.cache or Path(scratch) / "cache").resolve()
        make_inputs(kept / "inputs", options.old / "data" / "sample" / "sentences.txt", options.python)
        common = (kept / "inputs", options.python, str(Path(options.senteval_data or "").resolve()))
        old = Side("old", options.old.resolve(), kept / "old", *common)
        new = Side("new", options.new.resolve(), Path(scratch) / "new", *common)
        for side in (old, new):
            side.work.mkdir(parents=True, exist_ok=True)
            side.check()
        cache = kept / "old.json"
        known = json.loads(cache.read_text()) if cache.exists() else {}
        asked = []
        for job in jobs:
            before = None if str(job) in known else pool.submit(_taken, old, job)
            asked.append((job, before, pool.submit(_taken, new, job)))
        found = []
        for job, before, after in asked:
            result = before.result() if before else known[str(job)]
            if before and isinstance(result, dict):
                known[str(job)] = result
                cache.write_text(json.dumps(known))
            found += _compared(job, result, after.result())
    print(f"{sum(found)} of {len(found)} the same")
    return int(not all(found))


if __name__ == "__main__":
    sys.exit(main())
