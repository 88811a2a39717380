"""Does the runs of a plan, one after the other, each in processes of its own."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mixcse.base.console import say
from mixcse.base.errors import first_line
from mixcse.base.faults import one_line
from mixcse.base.files import ROOT, read_json, write_json
from mixcse.reproduce.plan import Run
from mixcse.reproduce.record import SCORES_FILE, Records, keys, make_record, place

LOG = "log.txt"


class RunFailed(Exception):
    """A run came to nothing; the message says why."""


class Busy(Exception):
    """Another process is at this run."""


def do_runs(runs: Sequence[Run], records: Records, work: Path, *, keep_models: bool) -> tuple[list[str], list[str]]:
    """Does what is not finished; a run that fails does not stop the rest.

    Args:
        records: where finished runs are recorded.
        work: each run has a folder in it, where an unfinished one continues.
        keep_models: leave the trained weights in that folder once the run is recorded.

    Returns:
        The runs that failed, and those that another process is at.
    """
    failed, busy = [], []
    with tqdm(runs, unit=" runs", disable=None) as bar:
        for run in bar:
            bar.set_description(run.slug)
            start = time.perf_counter()
            try:
                _do_run(run, records, work, bar, keep_models=keep_models)
            except Busy:
                busy.append(run.slug)
                tqdm.write(f"left out: {run.slug}: another process is at it", file=sys.stderr)
            except Exception as error:  # whatever became of this run, the others are done
                if not isinstance(error, RunFailed) and one_line(error):
                    raise  # on this machine they would end like it
                reason = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {first_line(error)}"
                failed.append(run.slug)
                tqdm.write(f"failed: {run.slug}: {reason}", file=sys.stderr)
                records.note_failure(run, reason)
            else:
                if bar.disable:
                    say(f"done: {run.slug} in {time.perf_counter() - start:.0f} s")
    return failed, busy


def _do_run(run: Run, records: Records, work: Path, bar: tqdm, *, keep_models: bool) -> None:
    # Another configuration, code or data is another folder: nothing of it is continued.
    began = keys(run)
    folder = work / f"{run.slug}-{'-'.join(key[:6] for key in began.values())}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{folder.name}.lock")) as lock:
        if records.outdated(run) == []:  # done by another process in the meantime
            return
        run.tasks = tuple(dict.fromkeys([*records.known_tasks(run), *run.tasks]))  # the record is written anew
        places = _note_place(folder / "places.json")
        model = folder / "model"
        evaluated = run.options["model_name_or_path"]
        if run.pooler is None:
            evaluated = model
            _execute("train.py", run.train_arguments(model), folder, lock, bar)
        _execute("evaluation.py", run.evaluation_arguments(evaluated, folder / SCORES_FILE), folder, lock, bar)
        if keys(run) != began:
            raise RunFailed("code or data changed while it ran; run it again")
        record = make_record(run, model, folder / SCORES_FILE, places)
        records.write(run, record)
        _clean(model, keep_models=keep_models)
    for task in run.tasks:
        if task not in record["scores"]["headline"]:
            raise RunFailed(f"evaluation.py: {task} was not scored ({record['scores']['not_scored'].get(task)})")


def _note_place(file: Path) -> list[dict[str, Any]]:
    """Adds this machine and code to where the run has been worked on, if they are new."""
    places = read_json(file) if file.is_file() else []
    here = place()
    if here not in places[-1:]:
        places.append(here)
        write_json(file, places)
    return places


def _clean(model: Path, *, keep_models: bool) -> None:
    """Checkpoints are of no more use; the weights perhaps not either."""
    for checkpoint in model.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if not keep_models:
        for weights in model.glob("*.safetensors"):
            weights.unlink()


def _execute(script: str, arguments: Sequence[str], folder: Path, lock: int, bar: tqdm) -> None:
    """Runs a script; its messages go to the log, its last line to the bar.

    It holds the lock as well: should this process be killed, nobody else starts on the run
    before it has ended too.
    """
    command = [sys.executable, str(ROOT / script), *arguments]
    with open(folder / LOG, "a", encoding="utf-8") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            text=True,
            errors="replace",
        ) as process:
            last = ""
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    if line.strip():
                        last = line.strip()
                        bar.set_postfix_str(last[:60], refresh=True)
            except BaseException as error:
                _stop(process, reached=type(error) is KeyboardInterrupt)
                raise
    if process.returncode in (-signal.SIGINT, 130, 143):
        raise KeyboardInterrupt
    if process.returncode:
        ended = f"killed by signal {-process.returncode}" if process.returncode < 0 else last.removeprefix("error: ")
        raise RunFailed(f"{script}: {ended} (log: {folder / LOG})")


def _stop(process: subprocess.Popen, *, reached: bool) -> None:
    """Waits for it to save a checkpoint; Ctrl-C has reached it as well, other signals have not."""
    if not reached:
        process.send_signal(signal.SIGTERM)  # a shell's background job, and what it starts, may ignore SIGINT
    process.wait()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy from error
    else:
        yield descriptor
    finally:
        os.close(descriptor)
