"""A training that is killed over and over is in the end what it would have been: benchmarks/chaos.py in small."""

import random
import shutil
import signal
from pathlib import Path

import pytest
from chaos_runs import Run, differences, make_inputs

from mixcse.base.files import read_json, write_json

STEPS = 12  # of two epochs; a checkpoint after each third
KILL, INTERRUPT, TERMINATE = signal.SIGKILL, signal.SIGINT, signal.SIGTERM


@pytest.fixture()
def inputs(tmp_path, tiny_bert):
    return make_inputs(tmp_path / "inputs", tiny_bert, STEPS)


@pytest.fixture()
def undisturbed(inputs, tmp_path):
    """Gives such a run of so many processes."""

    def make(processes):
        run = Run(tmp_path / f"undisturbed-{processes}", processes, inputs)
        run.attempt()
        assert run.finished
        return run

    return make


def at(phase, moment, number=KILL, rank=0, whole=True):
    """The plan to send a signal at a moment; of a file that is being written a third is there."""
    return {"signal": number, "rank": rank, "whole": whole, "written": 0.3, "moments": {phase: moment}}


def carry_out(plans, run):
    for plan in plans:
        event = run.attempt(plan)
        assert event["killed"] or event["stopped"]
        assert [event["phase"]] == list(plan["moments"])


def test_a_process_that_is_killed_over_and_over(inputs, undisturbed, tmp_path):
    run = Run(tmp_path / "killed", 1, inputs)
    before = [
        at("start", 17),  # the corpus is read, and not yet in its place in the cache
        at("start", 9),
        at("evaluation", 1),  # of the untrained model
        at("save", 8),  # a third of the weights is written
        at("evaluation", 3, INTERRUPT),  # of step 3: step 4 is saved
        at("seal", 6),  # before checkpoint-6 appears
        at("training", 3, TERMINATE),  # in step 5
        at("save", 50),  # a third of the state is written
        at("training", 12),
    ]
    carry_out(before, run)
    damaged = run.step
    run.damage(random.Random(0))
    after = [
        at("rotation", 9),  # half of an old checkpoint is gone
        at("export", 6),  # a third of the best weights is written
        at("export", 31),  # some files are in their places
        at("report", 2),  # all is there but the curves and the card
    ]
    carry_out(after, run)
    run.attempt()
    assert run.finished
    assert run.wrong(undisturbed(1)) == []
    assert sum(event["killed"] for event in run.events) == len([*before, *after]) - 2
    first, second = (run.events[len(before)], run.events[len(before) + 1])  # after the damage
    assert (first["skipped"], second["skipped"]) == (1, 0)
    assert 0 < first["resumed_from"] < damaged


def test_two_processes_of_which_both_or_one_are_killed(inputs, undisturbed, tmp_path):
    run = Run(tmp_path / "killed", 2, inputs)
    plans = [
        at("training", 17, rank=1),
        at("save", 2, rank=1, whole=False),  # the other one writes
        at("evaluation", 3, rank=0, whole=False),  # the other one waits for its scores
        at("training", 5, TERMINATE),
        at("seal", 6),
        at("export", 6),
    ]
    carry_out(plans, run)
    run.attempt()
    assert run.finished
    assert run.wrong(undisturbed(2)) == []


def flip(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def rewrite(file, **values):
    write_json(file, read_json(file) | values)


CHANGES = {
    "model.safetensors differs": lambda out: flip(out / "model.safetensors"),
    "log": lambda out: rewrite(out / "trainer_state.json", log_history=[]),
    "best_metric is 1, not": lambda out: rewrite(out / "trainer_state.json", best_metric=1),
    "best_global_step is 1, not": lambda out: rewrite(out / "trainer_state.json", best_global_step=1),
    "eval_results.json differs": lambda out: rewrite(out / "eval_results.json", step=1),
    "left over: .writing-x": lambda out: (out / ".writing-x").mkdir(),
    "left over: .lock": lambda out: (out / ".lock").touch(),
    "missing: curves.png": lambda out: (out / "curves.png").unlink(),
    "checkpoints, more than": lambda out: [(out / f"checkpoint-{step}").mkdir() for step in (1, 2)],
}


@pytest.fixture(scope="module")
def finished(tiny_bert, tmp_path_factory):
    """A finished run's folder."""
    folder = tmp_path_factory.mktemp("finished")
    run = Run(folder / "run", 1, make_inputs(folder / "inputs", tiny_bert, 6))
    run.attempt()
    return run.out


@pytest.mark.parametrize("says", CHANGES)
def test_what_is_not_the_same_is_noticed(finished, tmp_path, says):
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    assert differences(other, finished) == []
    CHANGES[says](other)
    assert any(says in found for found in differences(other, finished))


def test_the_best_checkpoint_is_compared(finished, tmp_path):
    other, best = tmp_path / "other", Path(read_json(finished / "trainer_state.json")["best_model_checkpoint"]).name
    shutil.copytree(finished, other)
    flip(other / best / "model.safetensors")
    assert differences(other, finished) == [f"{best}/model.safetensors differs"]
