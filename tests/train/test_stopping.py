"""Ctrl-C and SIGTERM: a checkpoint, a line that says how to go on, 130 or 143; and then the same weights."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from run_folder import logged, same_weights
from transformers import TrainerCallback

from mixcse.base.files import ROOT
from mixcse.base.program import run_cli
from mixcse.evaluate.dev import DevSets
from mixcse.train import run as training
from mixcse.train.checkpoints import checkpoints

pytestmark = pytest.mark.usefixtures("undrawn")
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def send(number, times=1):
    for _ in range(times):
        os.kill(os.getpid(), number)


class Sends(TrainerCallback):
    """A signal (several times) within a step."""

    def __init__(self, number, step, times=1):
        self.number, self.step, self.times = number, step, times

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step - 1:
            send(self.number, self.times)


@pytest.fixture()
def train(command, capsys):
    """Trains, with a callback; gives the exit code and what was said."""

    def run(*more, callbacks=()):
        code = run_cli(lambda argv: training.main(argv, callbacks), [*command, *more])
        for number in EXIT_CODES:  # StopOnSignal's is a method
            assert not hasattr(signal.getsignal(number), "__func__")
        return code, capsys.readouterr().err

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # of a job in the background it is ignored
    yield run
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGINT, 3), (signal.SIGTERM, 4), (signal.SIGTERM, 6)], ids=lambda one: str(int(one))
)
def test_a_signal_saves_and_the_same_command_goes_on(train, whole, tmp_path, number, step):
    out = tmp_path / "out"
    code, said = train(callbacks=[Sends(number, step)])
    assert code == EXIT_CODES[number]
    assert said.endswith(f"stopped; step {step} is saved in {out}: the same command goes on from there\n")
    assert max(checkpoints(out)) == step
    assert not (out / "train_results.json").exists()
    code, said = train()
    assert code == 0
    assert f"continuing from {out}/checkpoint-{step}" in said
    assert same_weights(out, whole)
    assert logged(out, "eval_stsb_spearman") == logged(whole, "eval_stsb_spearman")
    assert (out / "eval_results.json").read_text() == (whole / "eval_results.json").read_text()


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ("--early_stopping_patience 2 --eval_steps 1 --learning_rate 1e-3 --max_steps 12", [2, 3]),
        ("--save_strategy best", [3]),  # whether it is better or not
    ],
    ids=["patience is counted on", "where only better steps are saved"],
)
def test_what_is_counted_and_kept_is_the_same(train, tmp_path, options, steps):
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    options = options.split()
    train(*options, "--output_dir", str(undisturbed))
    for step in steps:
        assert train(*options, callbacks=[Sends(signal.SIGTERM, step)])[0] == 143
        assert step in checkpoints(out)
    assert train(*options)[0] == 0
    assert same_weights(out, undisturbed)
    assert logged(out, "eval_stsb_spearman") == logged(undisturbed, "eval_stsb_spearman")


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_second_signal_ends_at_once(train, tmp_path, number):
    code, said = train(callbacks=[Sends(number, 4, times=2)])
    assert code == EXIT_CODES[number]
    assert said.endswith("interrupted; the same command goes on from step 2\n")
    assert list(checkpoints(tmp_path / "out")) == [2]


@pytest.mark.parametrize("number", EXIT_CODES)
def test_before_the_first_step(train, tmp_path, monkeypatch, number):
    """While data are read and the model is loaded."""
    monkeypatch.setattr(training, "load_model", lambda *_: send(number) or time.sleep(60))
    code, said = train()
    assert code == EXIT_CODES[number]
    assert said.endswith("interrupted; the same command starts again\n")
    assert not (tmp_path / "out").exists()


def test_during_an_evaluation_it_is_brought_to_its_end(train, tmp_path, monkeypatch):
    score, calls, undisturbed = DevSets.score, [], tmp_path / "undisturbed"
    train("--save_steps", "6", "--output_dir", str(undisturbed))

    def score_interrupted(self, encode):
        calls.append(1)
        if len(calls) == 3:  # that of step 4
            send(signal.SIGINT)
        return score(self, encode)

    with monkeypatch.context() as patch:
        patch.setattr(DevSets, "score", score_interrupted)
        code, said = train("--save_steps", "6")
    assert code == 130
    assert "step 5 is saved" in said
    assert train("--save_steps", "6")[0] == 0
    assert same_weights(tmp_path / "out", undisturbed)


def test_the_program_itself(command, tmp_path):
    """As a terminal does it, or SLURM: the workers that load data get the signal too."""
    endless = ("--max_steps", "100000", "--eval_steps", "1000000", "--logging_steps", "1")
    program = [sys.executable, str(ROOT / "train.py"), *command, *endless, "--dataloader_num_workers", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    lines = []
    with subprocess.Popen(
        program, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        for line in process.stderr:
            lines.append(line)
            if line.startswith("step 3/"):
                os.killpg(process.pid, signal.SIGINT)
    (step,) = checkpoints(tmp_path / "out")
    assert lines[-1] == f"stopped; step {step} is saved in {tmp_path / 'out'}: the same command goes on from there\n"
    said = "".join(lines)
    assert said.count("stopping at the end of this step") == 1
    assert "Traceback" not in said
    assert process.returncode == 130


def test_a_signal_within_a_write(train, whole, tmp_path, monkeypatch):
    """Python's streams must not be entered again by a handler."""

    class Stream(io.StringIO):
        inside = False

        def write(self, text):
            if self.inside:
                raise RuntimeError("reentrant call inside")
            self.inside = True
            if text.startswith("step 3/"):
                send(signal.SIGINT)
            self.inside = False
            return super().write(text)

    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", Stream())
        assert train("--logging_steps", "1")[0] == 130
    assert max(checkpoints(tmp_path / "out")) in (3, 4)
    assert train("--logging_steps", "1")[0] == 0
    assert same_weights(tmp_path / "out", whole)
