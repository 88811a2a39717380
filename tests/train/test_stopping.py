"""Ctrl-C and SIGTERM: a checkpoint, a line that says how to go on, 130 or 143; and then the same weights."""

import os
import signal
import subprocess
import sys
import time

import pytest
from run_folder import logged, same_weights
from transformers import TrainerCallback

from mixcse.base.errors import Terminated
from mixcse.base.files import ROOT
from mixcse.base.program import run_cli
from mixcse.evaluate.dev import DevSets
from mixcse.train import run as training
from mixcse.train.checkpoints import checkpoints
from mixcse.train.parsing import parse_training_arguments

pytestmark = pytest.mark.usefixtures("undrawn")
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Sends(TrainerCallback):
    """A signal (several times) within a step."""

    def __init__(self, number, step, times=1):
        self.number, self.step, self.times = number, step, times

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step - 1:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.fixture()
def train(command, capsys):
    """Trains, with a callback; gives the exit code and what was said."""

    def run(*more, callbacks=()):
        def main(argv):
            training.train(*parse_training_arguments(argv), callbacks=callbacks)

        code = run_cli(main, [*command, *more])
        for number in EXIT_CODES:  # StopOnSignal's is a method
            assert not hasattr(signal.getsignal(number), "__self__")
        return code, capsys.readouterr().err

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # of a job in the background it is ignored
    yield run
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", EXIT_CODES)
@pytest.mark.parametrize("step", [3, 4, 6])
def test_a_signal_saves_and_the_same_command_goes_on(train, tmp_path, number, step):
    out = tmp_path / "out"
    train("--output_dir", str(tmp_path / "whole"))
    code, said = train(callbacks=[Sends(number, step)])
    assert code == EXIT_CODES[number]
    assert said.endswith(f"stopped; step {step} is saved in {out}: the same command goes on from there\n")
    assert max(checkpoints(out)) == step
    assert not (out / "train_results.json").exists()
    code, said = train()
    assert code == 0
    assert f"continuing from {out}/checkpoint-{step}" in said
    assert same_weights(out, tmp_path / "whole")
    assert logged(out, "eval_stsb_spearman") == logged(tmp_path / "whole", "eval_stsb_spearman")
    assert (out / "eval_results.json").read_text() == (tmp_path / "whole" / "eval_results.json").read_text()


def test_patience_is_counted_on(train, tmp_path):
    patient = ("--early_stopping_patience", "2", "--eval_steps", "1", "--learning_rate", "1e-3", "--max_steps", "12")
    train(*patient, "--output_dir", str(tmp_path / "whole"))
    for step in (2, 3):
        assert train(*patient, callbacks=[Sends(signal.SIGTERM, step)])[0] == 143
    assert train(*patient)[0] == 0
    assert same_weights(tmp_path / "out", tmp_path / "whole")
    assert logged(tmp_path / "out", "eval_stsb_spearman") == logged(tmp_path / "whole", "eval_stsb_spearman")


def test_where_only_better_steps_are_saved_this_one_is_too(train, tmp_path):
    best = ("--save_strategy", "best")
    train(*best, "--output_dir", str(tmp_path / "whole"))
    assert train(*best, callbacks=[Sends(signal.SIGTERM, 3)])[0] == 143
    assert 3 in checkpoints(tmp_path / "out")
    assert train(*best)[0] == 0
    assert same_weights(tmp_path / "out", tmp_path / "whole")


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_second_signal_ends_at_once(train, tmp_path, number):
    code, said = train(callbacks=[Sends(number, 4, times=2)])
    assert code == EXIT_CODES[number]
    assert said.endswith("interrupted; the same command goes on from step 2\n")
    assert list(checkpoints(tmp_path / "out")) == [2]


@pytest.mark.parametrize("number", EXIT_CODES)
def test_before_the_first_step(train, tmp_path, monkeypatch, number):
    """While data are read and the model is loaded."""
    monkeypatch.setattr(training, "load_model", lambda *_: os.kill(os.getpid(), number) or time.sleep(60))
    code, said = train()
    assert code == EXIT_CODES[number]
    assert said.endswith("interrupted; the same command starts again\n")
    assert not (tmp_path / "out").exists()


def test_during_an_evaluation_it_is_brought_to_its_end(train, tmp_path, monkeypatch):
    train("--output_dir", str(tmp_path / "whole"))
    score, calls = DevSets.score, []

    def score_interrupted(self, encode):
        calls.append(1)
        if len(calls) == 3:  # that of step 4
            os.kill(os.getpid(), signal.SIGINT)
        return score(self, encode)

    with monkeypatch.context() as patch:
        patch.setattr(DevSets, "score", score_interrupted)
        code, said = train("--save_steps", "6")
    assert code == 130
    assert "step 5 is saved" in said
    assert train("--save_steps", "6")[0] == 0
    assert same_weights(tmp_path / "out", tmp_path / "whole")


def test_while_the_finished_model_is_written(train, tmp_path, monkeypatch):
    train("--output_dir", str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", lambda *_: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(60))
        code, said = train()
    assert code == 143
    assert said.endswith("interrupted; the same command goes on from step 6\n")
    assert train()[0] == 0
    assert same_weights(tmp_path / "out", tmp_path / "whole")
    assert (tmp_path / "out" / "train_results.json").exists()


def test_termination_is_an_exception_with_an_exit_code(monkeypatch, capsys):
    def main(_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            capsys.readouterr()

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert run_cli(main, []) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "\ninterrupted\n"
    assert issubclass(Terminated, KeyboardInterrupt)


def stopped_from_outside(program, number):
    """What a program says that gets a signal, as do all that it has started, after its third step; its exit code."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        program, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("step 3/"):
                os.killpg(process.pid, number)
    return "".join(lines), process.returncode


ENDLESS = ("--max_steps", "100000", "--eval_steps", "1000000", "--logging_steps", "1")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_program_itself(command, tmp_path, workers):
    """As a terminal does it, or SLURM: the workers that load data get the signal too."""
    program = [sys.executable, str(ROOT / "train.py"), *command, *ENDLESS, "--dataloader_num_workers", workers]
    said, code = stopped_from_outside(program, signal.SIGINT)
    (step,) = checkpoints(tmp_path / "out")
    assert said.endswith(
        f"stopped; step {step} is saved in {tmp_path / 'out'}: the same command goes on from there\n"
    ), said
    assert said.count("stopping at the end of this step") == 1
    assert "Traceback" not in said
    assert code == 130


def test_two_processes_save_the_same_step(command, tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    program = [sys.executable, *torchrun, str(ROOT / "train.py"), *command, *ENDLESS]
    said, _ = stopped_from_outside(program, signal.SIGTERM)
    (step,) = checkpoints(tmp_path / "out")
    assert f"stopped; step {step} is saved in {tmp_path / 'out'}: the same command goes on from there\n" in said
    generators = {path.name for path in (tmp_path / "out" / f"checkpoint-{step}").glob("rng_state*")}
    assert generators == {"rng_state_0.pth", "rng_state_1.pth"}
