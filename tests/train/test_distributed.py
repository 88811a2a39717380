"""Several processes share a batch: what they find together is what one finds alone."""

import json
import os
import shutil
import sys
from functools import cache
from types import SimpleNamespace

import killed_run
import process_group
import pytest
import torch
from run_folder import logged, own_pairs, same_weights, weights

from mixcse.base.errors import UserError
from mixcse.base.files import write_json
from mixcse.base.group import from_main_process, gather_rows, leave, rank, sum_over_processes, world_size
from mixcse.train import prepare as preparation
from mixcse.train import run as training
from mixcse.train.folder import RunFolder

OBJECTIVES = process_group.OBJECTIVES


@pytest.fixture(scope="module")
def still_bert(tiny_bert, tmp_path_factory):
    """`tiny_bert` without dropout."""
    folder = tmp_path_factory.mktemp("still") / "bert"
    shutil.copytree(tiny_bert, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def alone():
    return process_group.everything()


@pytest.fixture(scope="module")
def groups(tmp_path_factory, still_bert, tiny_bert, toy_sentences):
    """Gives the folder of a group of 2 or of 3 processes, with what each has found.  The two also trained a model."""
    torch.multiprocessing.set_forkserver_preload(["process_group", "killed_run"])  # once for all of them

    @cache
    def folder_of(count):
        folder = tmp_path_factory.mktemp("together")
        options = [*two_epochs(folder, toy_sentences), "--model_name_or_path", str(tiny_bert), "--eval_steps", "2"]
        options += ["--per_device_train_batch_size", "4", "--save_total_limit", "3", "--pad_to_max_length"]
        arguments = (count, folder, *((str(still_bert), options) if count == 2 else (None, None)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # a forkserver's own path is not this one's
            torch.multiprocessing.start_processes(process_group.work, arguments, count, start_method="forkserver")
        return folder

    return folder_of


@pytest.fixture(scope="module", params=[2, 3])
def together(request, groups):
    """What each of 2 or 3 processes found."""
    return [torch.load(groups(request.param) / f"{process}.pt") for process in range(request.param)]


def mean(processes, name):
    """Of losses and gradients."""
    return {key: sum(found[name][key] for found in processes) / len(processes) for key in processes[0][name]}


def assert_equal(one, other, tolerance=1e-9):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_gradients_are_those_of_one_process(together, alone, name):
    assert_equal(mean(together, name), alone[name])
    assert all(value.abs().sum() > 1e-3 for value in alone[name].values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_signals_are_those_of_one_process(together, alone, name):
    expected = alone[f"signals-{name}"]
    assert {"positive_similarity", "in_batch_weight", "embedding_gradient_norm"} <= expected.keys()
    assert ("own_mix_weight" in expected) == ("simcse" not in name)
    for found in together:
        assert found[f"signals-{name}"] == pytest.approx(expected, rel=1e-6)


def test_embeddings_gathered_as_constants_would_be_noticed(together, alone):
    wrong, right = mean(together, "constants"), alone["released-both-next-2-constant"]
    assert_equal(wrong.pop("loss"), right["loss"])
    assert all((wrong[name] - right[name]).abs().max() > 1e-3 for name in wrong)


def test_who_is_who(together):
    everyone = list(range(len(together)))
    assert [found["rank"] for found in together] == everyone
    for found in together:
        assert found["world_size"] == len(together)
        assert found["heard"] == "from 0"
        assert found["sum"] == [sum(everyone), len(together)]


@pytest.mark.parametrize("together", [2], indirect=True)
def test_a_model_with_masked_words_learns_the_same(together, still_bert):
    """Under DistributedDataParallel, in chunks as well, and though one process has many more masked words."""
    alone = process_group.training_step(str(still_bert))
    assert len(alone) > 40
    masked = [found["step"]["mlm_loss"] for found in together]
    assert masked[1] > 2 * masked[0]
    for how in ("step", "step in chunks"):
        assert_equal(mean(together, how), alone, 1e-6)


@pytest.mark.parametrize("together", [2], indirect=True)
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_losses_for_sentence_transformers_gather(together, columns):
    """The processes' batches are one; DistributedDataParallel is called for every mini-batch, and again in replay."""
    alone = process_group.sentence_transformers_loss(columns)
    assert all(value.abs().sum() > 1e-3 for value in alone.values())
    for how in (f"{columns} columns", f"{columns} columns, cached"):
        assert_equal(mean(together, how), alone)
        assert_equal({name: together[0][how][name] for name in alone if name != "loss"}, {
            name: value for name, value in alone.items() if name != "loss"
        })  # fmt: skip


def test_alone_nothing_happens():
    z = torch.randn(3, 2, requires_grad=True)
    gathered, rows = gather_rows(z)
    assert gathered is z
    assert rows == slice(None)
    assert (rank(), world_size()) == (0, 1)
    value = object()
    assert from_main_process(value) is value
    total = sum_over_processes(z)
    assert torch.equal(total, z)
    assert not total.requires_grad
    total.zero_()
    assert z.detach().abs().sum() > 0  # it was a copy
    leave()


def test_several_gpus_without_a_launcher_are_refused():
    with pytest.raises(UserError, match="3 GPUs are visible.*torchrun --nproc_per_node=3 train.py .*CUDA_VISIBLE_DEV"):
        preparation.check_devices(SimpleNamespace(fp16=False, n_gpu=3))
    for count in (0, 1):
        preparation.check_devices(SimpleNamespace(fp16=False, n_gpu=count))


def test_another_number_of_processes_is_another_run(tmp_path):
    write_json(tmp_path / "arguments.json", {"processes": 2})
    with pytest.raises(UserError, match="--processes was 2, now 3"):
        RunFolder(tmp_path, {"processes": 3}).check_earlier_run()
    write_json(tmp_path / "arguments.json", {})  # written before there could be several
    RunFolder(tmp_path, {"processes": 1}).check_earlier_run()


def launched(arguments, folder):
    """Train in two processes that torchrun might have started; return the lines that they said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # a forkserver's own path is not this one's
        given = (2, arguments, folder, None)
        torch.multiprocessing.start_processes(killed_run.work, given, 2, start_method="forkserver")
    said = [line for process in range(2) for line in (folder / f"log-{process}.txt").read_text().splitlines()]
    return [line for line in said if not line.startswith("[")]  # of torch's own log


def two_epochs(folder, sentences):
    """The options of twice 3 steps, batches of 8 in all: 5 of 29 sentences are left over."""
    (folder / "train.txt").write_text("\n".join(sentences[:29]))
    return [
        *("--train_file", str(folder / "train.txt"), "--senteval_data", str(folder / "none")),
        *("--num_train_epochs", "2", "--eval_path", str(own_pairs(folder)), "--logging_steps", "1"),
        *("--load_best_model_at_end", "False"),
    ]


def beginning(line):
    """What is the same however many processes speak."""
    return line.split()[:2]


def test_two_launched_processes_train_as_one(still_bert, toy_sentences, tmp_path, capsys):
    """Each with half of every batch, which it encodes a few rows at a time."""
    two, one = tmp_path / "two", tmp_path / "one"
    command = [*two_epochs(tmp_path, toy_sentences), "--model_name_or_path", str(still_bert), "--eval_steps", "3"]
    command += ["--dropout", "0"]
    command += ["--optim", "sgd", "--learning_rate", "0.03"]
    halves = ["--per_device_train_batch_size", "4", "--embedding_chunk_size", "3", "--output_dir", str(two)]
    lines = launched([*command, *halves], tmp_path)
    whole = ["--per_device_train_batch_size", "8", "--dataloader_drop_last", "True", "--output_dir", str(one)]
    training.main([*command, *whole])

    before, after = weights(still_bert), weights(one)
    assert_equal(weights(two), after, 1e-6)
    assert max((after[name] - before[name]).abs().max() for name in after if "layer" in name) > 1e-3  # it has learnt
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    for key in ("embedding_gradient_norm", "own_mix_weight", "mixed_similarity", "eval_alignment"):
        assert logged(two, key) == pytest.approx(logged(one, key), rel=1e-4), key
    assert json.loads((two / "trainer_state.json").read_text())["max_steps"] == 2 * (29 // 8)
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    said = capsys.readouterr().err.splitlines()
    assert [beginning(line) for line in lines] == [beginning(line) for line in said]
    assert len(lines) == len(set(lines))  # no process repeats another


def test_two_processes_stop_at_the_same_step_and_resume(groups):
    """Though one alone hears the signal, in the middle of an epoch; each has the dropout that it would have had."""
    folder = groups(2)
    out, whole = folder / "out", folder / "whole"
    found = [torch.load(folder / f"{process}.pt") for process in (0, 1)]
    assert {one["said"] for one in found} == {f"stopped; step 3 is saved in {out}: the same command goes on from there"}
    assert [one["writes"] for one in found] == [True, False]  # one would remove what the other writes
    assert (folder / "0.txt").read_text().count(f"continuing from {out / 'checkpoint-3'}\n") == 1
    assert json.loads((out / "train_results.json").read_text())["resumed_from_step"] == 3
    assert same_weights(out, whole)
    assert logged(out, "loss") == logged(whole, "loss")
    saved = folder / "checkpoint-3"
    drawn = [torch.load(saved / f"rng_state_{process}.pth", weights_only=False) for process in (0, 1)]
    assert not torch.equal(drawn[0]["cpu"], drawn[1]["cpu"])
