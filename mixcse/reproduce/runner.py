"""Does the runs of a plan, one after the other, each in processes of its own."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from mixcse.base.console import say
from mixcse.base.errors import first_line, one_line
from mixcse.base.files import ROOT, read_json, write_json
from mixcse.reproduce.keys import hash_of, keys
from mixcse.reproduce.plan import Run
from mixcse.reproduce.probe import agree, probe
from mixcse.reproduce.record import SCORES_FILE, Records, make_record, place

LOG = "log.txt"


class RunFailed(Exception):
    """A run came to nothing; the message says why."""


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
            except Timeout:
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
    began, code = keys(run), probe()
    folder = work / f"{run.slug}-{'-'.join(key[:6] for key in (*began.values(), hash_of(code)))}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", blocking=False):
        if records.outdated(run) == []:  # done by another process in the meantime
            return
        run.tasks = tuple(dict.fromkeys([*records.known_tasks(run), *run.tasks]))  # the record is written anew
        places = _note_place(folder / "places.json")
        model, log = folder / "model", folder / LOG
        if run.pooler is None:
            _execute("train.py", run.train_arguments(model), log, bar)
        evaluated = run.options["model_name_or_path"] if run.pooler else model
        _execute("evaluation.py", run.evaluation_arguments(evaluated, folder / SCORES_FILE), log, bar)
        if keys(run) != began or not agree(code, probe()):
            raise RunFailed("code or data changed while it ran; run it again")
        record = make_record(run, model, folder / SCORES_FILE, places)
        records.write(run, record)
        for checkpoint in model.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        for weights in () if keep_models else model.glob("*.safetensors"):
            weights.unlink()
    for task in run.tasks:
        if task not in record["scores"]["headline"]:
            raise RunFailed(f"evaluation.py: {task} was not scored ({record['scores']['not_scored'].get(task)})")


def _note_place(file: Path) -> list[dict[str, Any]]:
    """Adds this machine and code to where the run has been worked on, if they are new."""
    places, here = read_json(file) if file.is_file() else [], place()
    if here not in places[-1:]:
        places.append(here)
        write_json(file, places)
    return places


def _execute(script: str, arguments: Sequence[str], log_file: Path, bar: tqdm) -> None:
    """Runs a script; its messages go to the log, its last line to the bar."""
    command = [sys.executable, str(ROOT / script), *arguments]
    with (
        open(log_file, "a", encoding="utf-8") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        log.write(f"\n$ {' '.join(command)}\n")
        last = ""
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                if line.strip():
                    last = line.strip()
                    bar.set_postfix_str(last[:60], refresh=True)
        except BaseException as error:
            if type(error) is not KeyboardInterrupt:  # Ctrl-C has reached it as well, other signals have not
                process.send_signal(signal.SIGTERM)  # a shell's background job, and what it starts, may ignore SIGINT
            process.wait()  # it saves a checkpoint
            raise
    if process.returncode in (-signal.SIGINT, 130, 143):
        raise KeyboardInterrupt
    if process.returncode:
        ended = f"killed by signal {-process.returncode}" if process.returncode < 0 else last.removeprefix("error: ")
        raise RunFailed(f"{script}: {ended} (log: {log_file})")
