"""`--gpu_recipe` as far as a CPU goes: what it sets, and a compiled run with a compiler that runs here."""

from types import SimpleNamespace

import pytest
import torch
from run_folder import logged

from mixcse.base.errors import UserError
from mixcse.train import gpu_recipe
from mixcse.train import run as training
from mixcse.train.gpu_recipe import COMPILE_FROM_STEPS, compile_where_it_pays
from mixcse.train.parsing import parse_training_arguments


@pytest.fixture()
def recipe(command, monkeypatch) -> list[str]:
    """A command line with it, on a CPU that passes for such a GPU."""
    monkeypatch.setattr(gpu_recipe, "supported", lambda use_cpu: True)
    return [*command, "--gpu_recipe", "--use_cpu"]


def test_without_such_a_gpu_it_is_refused(command):
    with pytest.raises(UserError, match="--gpu_recipe needs a CUDA GPU"):
        parse_training_arguments([*command, "--gpu_recipe", "--use_cpu"])


def test_what_it_sets(command, recipe):
    _, _, args = parse_training_arguments(recipe)
    assert args.bf16
    assert args.save_strategy == "best"
    assert args.per_device_eval_batch_size == 512
    assert not parse_training_arguments(command)[2].bf16
    for contrary in (["--fp16"], ["--padding", "chunks"]):
        with pytest.raises(UserError, match=f"leave out {' '.join(contrary)}"):
            parse_training_arguments([*recipe, *contrary])


def test_a_compiled_run(recipe, bare_runs, tmp_path, monkeypatch):
    """In bf16, with a compiler that changes nothing: CUDA graphs need a GPU."""
    monkeypatch.setattr(gpu_recipe, "COMPILE_FROM_STEPS", 2)
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model, **options: compiled.append(options["mode"]) or model)
    training.main([*recipe, "--dataloader_num_workers", "0", "--max_seq_length", "16", "--max_steps", "2"])
    assert compiled == ["reduce-overhead"]
    assert len(logged(tmp_path / "out", "eval_stsb_spearman")) == 2


def test_emulated_bfloat16_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not gpu_recipe.supported()


@pytest.mark.parametrize(
    ("changed", "pays"),
    [
        ({}, True),
        ({"max_steps": COMPILE_FROM_STEPS - 1}, False),
        ({"max_steps": -1, "num_train_epochs": 2}, True),  # of 64 times as many examples
        ({"max_steps": -1, "num_train_epochs": 0.5}, False),
        ({"gradient_accumulation_steps": 2}, False),
        ({"world_size": 2}, False),
        ({"embedding_chunk_size": 8}, False),
    ],
)
def test_when_compiling_pays(changed, pays):
    usual = {
        "max_steps": COMPILE_FROM_STEPS, "train_batch_size": 64, "gradient_accumulation_steps": 1, "world_size": 1,
        "embedding_chunk_size": None, "torch_compile": False,
    }  # fmt: skip
    args = SimpleNamespace(**usual | changed)
    compile_where_it_pays(args, 64 * COMPILE_FROM_STEPS)
    assert args.torch_compile == pays
