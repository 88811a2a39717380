"""A run that is killed over and over, and resumed by the same command, ends as an undisturbed run."""

import os
import sys

import killed_run
import pytest
import torch
from killed_run import Point
from run_folder import logged, own_pairs, same_weights
from torch.multiprocessing.spawn import ProcessExitedException

from mixcse.train.checkpoints import checkpoints

# In this order: each attempt resumes what the one before has left.
ONE_PROCESS = [
    Point("mixcse.train.run:load_model"),
    Point("mixcse.data.corpus:Corpus._write", after=True),  # the table is written, not yet in place
    Point("mixcse.train.folder:RunFolder.begin", after=True),
    Point("mixcse.evaluate.dev:DevSets.score"),  # of the untrained model
    Point("mixcse.train.trainer:MixCSETrainer.training_step", call=3, after=True),
    Point("mixcse.model.sentence_model:SentenceModel.save_pretrained", after=True),  # half a checkpoint
    Point("mixcse.train.callbacks:write_checksums"),  # complete, without checksums
    Point("mixcse.train.callbacks:prune", call=2),  # with checksums; older ones are still there
    Point("mixcse.train.checkpoints:shutil.rmtree"),  # while an old one is removed
    Point("mixcse.base.files:follow_umask", call=4),  # the trained model is half in place
    Point("mixcse.train.ending:draw"),
    Point("mixcse.train.ending:write_model_card", after=True),  # all but train_results.json is written
]
TWO_PROCESSES = [
    Point("mixcse.train.trainer:MixCSETrainer.training_step", call=3, rank=1),
    Point("transformers:Trainer._save_rng_state", rank=1),  # the first process writes a checkpoint meanwhile
    Point("mixcse.train.callbacks:write_checksums"),
    Point("mixcse.train.run:scores_of_kept_step"),
]


@pytest.fixture()
def train(tmp_path, tiny_bert, toy_sentences, monkeypatch):
    """Return a function that trains into a folder in so many processes, which are killed at a point."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # a forkserver's own path is not this one's
    torch.multiprocessing.set_forkserver_preload(["killed_run"])
    (tmp_path / "train.txt").write_text("\n".join(toy_sentences[:64]))
    argv = [
        *(
            "--model_name_or_path",
            str(tiny_bert),
            "--train_file",
            str(tmp_path / "train.txt"),
            "--save_total_limit",
            "1",
        ),
        *("--senteval_data", str(tmp_path / "none"), "--validation_file", str(own_pairs(tmp_path))),
        *("--max_steps", "8", "--eval_steps", "2", "--per_device_train_batch_size", "8", "--learning_rate", "1e-2"),
    ]

    def run(out, processes, point=None):
        folder = tmp_path / f"of-{out.name}"
        folder.mkdir(exist_ok=True)
        (folder / "meeting").unlink(missing_ok=True)
        arguments = (processes, [*argv, "--output_dir", str(out)], folder, point)
        torch.multiprocessing.start_processes(killed_run.work, arguments, processes, start_method="forkserver")

    return run


@pytest.mark.parametrize(("processes", "points"), [(1, ONE_PROCESS), (2, TWO_PROCESSES)])
def test_a_run_that_is_killed_again_and_again(train, tmp_path, processes, points):
    whole, out = tmp_path / "whole", tmp_path / "out"
    train(whole, processes)
    for point in points:
        with pytest.raises(ProcessExitedException) as killed:
            train(out, processes, point)
            raise AssertionError(f"not reached: {point}")
        assert (killed.value.error_index, killed.value.signal_name) == (point.rank, "SIGKILL"), point
    train(out, processes)
    assert same_weights(out, whole)
    assert (out / "eval_results.json").read_text() == (whole / "eval_results.json").read_text()
    assert logged(out, "eval_dev_spearman") == logged(whole, "eval_dev_spearman")
    assert set(checkpoints(out)) == set(checkpoints(whole))
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
