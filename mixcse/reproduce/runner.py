"""Does the runs of a plan, one after the other, each in processes of its own."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from mixcse.base.console import say
from mixcse.base.errors import first_line, one_line
from mixcse.base.files import ROOT, read_json
from mixcse.reproduce.plan import Run, effective
from mixcse.reproduce.record import INPUTS, SCORES_FILE, Records, changes, data_of, git_state, hash_of, make_record


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
    # A folder for each state of options, data and code: a run is never continued with others.
    code, data = git_state(), data_of(run)
    identity = hash_of([effective(run.options), [data[name] for name in INPUTS], code])
    folder = work / f"{run.slug}-{identity[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", blocking=False):
        record = records.read().get(run.slug)
        changed = None if record is None else changes(record, run)
        if changed == []:  # another process has done it in the meantime
            return
        if record is not None and not {"options", "data"} & {*changed}:  # tasks are added to those of the record
            run.tasks = tuple(dict.fromkeys([*record["scores"], *run.tasks]))
        model, log = folder / "model", folder / "log.txt"
        if run.pooler is None:
            _execute("train.py", run.train_arguments(model), log, bar)
        evaluated = run.options["model_name_or_path"] if run.pooler else model
        _execute("evaluation.py", run.evaluation_arguments(evaluated, folder / SCORES_FILE), log, bar)
        if git_state() != code:
            raise RunFailed("the code changed while it ran; run it again")
        results = read_json(folder / SCORES_FILE)
        records.write(run, make_record(run, model, results))
        for checkpoint in model.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        for weights in () if keep_models else model.glob("*.safetensors"):
            weights.unlink()
    for task in run.tasks:
        if task not in results["headline"]:
            raise RunFailed(f"evaluation.py: {task} was not scored ({results['missing'].get(task)})")


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
