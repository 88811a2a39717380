"""A loss that is no number, memory that runs out, clocks that are set, data that changes: the end and what follows."""

import os
from types import SimpleNamespace

import pytest
import torch
from run_folder import same_weights
from transformers import AutoModel

from mixcse import cli
from mixcse.base.errors import UserError
from mixcse.base.program import run_cli
from mixcse.data.corpus import Corpus
from mixcse.data.tokens import load_training_data
from mixcse.options import DataArguments
from mixcse.train import run as training
from mixcse.train.checkpoints import newest_usable
from mixcse.train.divergence import READ_AT_LEAST_EVERY, LossWatch
from mixcse.train.trainer import MixCSETrainer

pytestmark = pytest.mark.usefixtures("bare_runs")


def at_step(monkeypatch, step, change):
    """Has `change` of the loss be what a step computes; the ids of that step."""
    compute = MixCSETrainer.compute_loss
    seen = []

    def changed(self, model, inputs, *arguments, **keywords):
        loss = compute(self, model, inputs, *arguments, **keywords)
        if self.state.global_step + 1 != step:
            return loss
        seen.append(inputs["input_ids"])
        return change(loss)

    monkeypatch.setattr(MixCSETrainer, "compute_loss", changed)
    return seen


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_at_its_step(command, whole, tmp_path, monkeypatch, tokenizer, number):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        seen = at_step(patch, 5, lambda loss: loss * number)
        with pytest.raises(UserError) as raised:
            training.main(command)
    first = tokenizer.decode(seen[0][0, 0], skip_special_tokens=True)
    said = str(raised.value)
    assert said.startswith(
        f"step 5: the loss of the batch that begins with {first!r} is {number}; the training diverged"
    )
    assert f"{out}/checkpoint-4 is the last good checkpoint" in said and "\n" not in said
    good = newest_usable(out)
    assert good.name == "checkpoint-4"
    assert all(tensor.isfinite().all() for tensor in AutoModel.from_pretrained(good).state_dict().values())
    training.main([*command, "--model_name_or_path", str(good), "--output_dir", str(tmp_path / "other")])
    training.main(command)
    assert same_weights(out, whole)


def test_it_is_said_that_nothing_was_saved_yet(command, monkeypatch):
    at_step(monkeypatch, 1, lambda loss: loss * float("nan"))
    with pytest.raises(UserError, match=r"step 1: .* there is no checkpoint yet"):
        training.main(command)


def test_weights_that_are_no_numbers_are_told_from_a_loss_that_is_none(command, tmp_path):
    with pytest.raises(UserError, match=r"step 2: .* is nan, and weights are not finite; the training diverged"):
        training.main([*command, "--learning_rate", "1e38", "--logging_steps", "6", "--eval_steps", "6"])
    assert not (tmp_path / "out" / "model.safetensors").exists()


class OnAGpu(torch.Tensor):
    """A scalar that claims to be where reading it makes the computer wait."""

    device = SimpleNamespace(type="cuda")


def test_a_gpu_is_not_waited_for_until_its_losses_are_read(tokenizer, tmp_path):
    watch = LossWatch(SimpleNamespace(tokenizer=tokenizer, parameters=lambda: []), tmp_path)

    def note(step, number, words="the cat"):
        ids = torch.tensor(tokenizer(words)["input_ids"]).view(1, 1, -1)
        watch.note(step, torch.tensor(number).as_subclass(OnAGpu), ids)

    for step, (number, words) in enumerate([(1.0, "the cat"), (float("inf"), "a dog"), (float("nan"), "the mat")], 8):
        note(step, number, words)
    with pytest.raises(UserError, match=r"^step 9: the loss of the batch that begins with 'a dog' is inf; "):
        watch.read()
    watch.read()
    note(1, float("nan"))
    with pytest.raises(UserError, match="^step 1: "):  # losses that nobody reads do not pile up
        for step in range(2, 2 + READ_AT_LEAST_EVERY):
            note(step, 1.0)
    assert step == READ_AT_LEAST_EVERY


def test_memory_that_runs_out_names_what_needs_less(command, whole, tmp_path, monkeypatch, capsys):
    def fails(loss):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as patch:
        at_step(patch, 3, fails)
        assert run_cli(cli.main, ["train", *command]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: out of memory; ") and "the same command goes on from step 2" in line
    for flag in ("--per_device_train_batch_size", "--embedding_chunk_size", "--max_seq_length", "--padding"):
        assert flag in line
    training.main(command)
    assert same_weights(tmp_path / "out", whole)


def test_another_error_keeps_its_traceback(monkeypatch, command):
    def fails(loss):
        raise RuntimeError("a bug")

    at_step(monkeypatch, 3, fails)
    with pytest.raises(RuntimeError, match="^a bug$"):
        run_cli(cli.main, ["train", *command])


def test_what_was_changed_is_read_again_whatever_its_time(tmp_path):
    path = tmp_path / "train.txt"
    for text in ("the cat\nthe dog\n", "the mat\nthe dog\n"):
        path.write_text(text)
        os.utime(path, (1e9, 1e9))
        assert Corpus.open(DataArguments(str(path))).text()["sentence1"][:] == text.splitlines()


@pytest.mark.parametrize(
    ("owner", "name", "load"),
    [(Corpus, "_write", Corpus._write), (training, "load_training_data", load_training_data)],
    ids=["while it is read", "before it is read"],
)
def test_training_data_that_is_cut_short(command, whole, tmp_path, monkeypatch, owner, name, load):
    path = tmp_path / "train.txt"
    text = path.read_text()

    def cut(*arguments, **keywords):
        path.write_text(text[: len(text) // 2])
        return load(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, cut)
        with pytest.raises(UserError, match=r"--train_file .*train.txt: it changed while it was read"):
            training.main([*command, "--overwrite_cache"])
    assert not (tmp_path / "out").exists()
    path.write_text(text)
    training.main(command)
    assert same_weights(tmp_path / "out", whole)
