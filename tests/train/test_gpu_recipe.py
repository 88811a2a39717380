"""`--gpu_recipe` as far as a CPU goes: what it sets, and the compiled embedding with a compiler that runs here."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from run_folder import logged, same_weights

from mixcse.base.errors import UserError
from mixcse.train import gpu_recipe
from mixcse.train import run as training
from mixcse.train.gpu_recipe import COMPILE_FROM_STEPS, CompiledEmbedding, compile_pays
from mixcse.train.parsing import parse_training_arguments

CPU = torch.device("cpu")


def test_without_such_a_gpu_it_is_refused(command):
    with pytest.raises(UserError, match="--gpu_recipe needs a CUDA GPU"):
        parse_training_arguments([*command, "--gpu_recipe", "--use_cpu"])


def test_what_it_sets(command, monkeypatch):
    monkeypatch.setattr(gpu_recipe, "supported", lambda use_cpu: True)
    _, _, args = parse_training_arguments([*command, "--gpu_recipe", "--use_cpu"])
    assert args.bf16
    assert args.save_strategy == "best"
    assert args.per_device_eval_batch_size == 512
    assert not parse_training_arguments(command)[2].bf16
    for contrary in (["--fp16"], ["--padding", "chunks"]):
        with pytest.raises(UserError, match=f"leave out {' '.join(contrary)}"):
            parse_training_arguments([*command, "--gpu_recipe", "--use_cpu", *contrary])


def test_a_run_with_it(command, tmp_path, monkeypatch):
    """On a CPU, in bf16, with `aot_eager` in the compiler's place."""
    monkeypatch.setattr(gpu_recipe, "supported", lambda use_cpu: True)
    monkeypatch.setattr(gpu_recipe, "COMPILE_FROM_STEPS", 2)
    compile_with = torch.compile
    calls = []

    def aot_eager(function, **_):
        calls.append(function)
        return compile_with(function, backend="aot_eager", dynamic=False)

    monkeypatch.setattr(torch, "compile", aot_eager)
    training.main([*command, "--gpu_recipe", "--use_cpu", "--dataloader_num_workers", "0", "--max_seq_length", "16"])
    assert len(calls) == 1
    assert len(logged(tmp_path / "out", "eval_stsb_spearman")) == 4
    assert (tmp_path / "out" / "report.html").exists()


def test_warming_up_changes_nothing(command, tmp_path, monkeypatch):
    """The same run with and without the warm-up passes, whose function is left as it was."""
    monkeypatch.setattr(gpu_recipe, "supported", lambda use_cpu: True)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    arguments = [*command, "--gpu_recipe", "--use_cpu", "--dataloader_num_workers", "0"]
    training.main([*arguments, "--output_dir", str(tmp_path / "eager")])
    monkeypatch.setattr(gpu_recipe, "COMPILE_FROM_STEPS", 2)
    training.main([*arguments, "--output_dir", str(tmp_path / "warmed")])
    assert same_weights(tmp_path / "eager", tmp_path / "warmed")


def test_emulated_bfloat16_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not gpu_recipe.supported()


@pytest.mark.parametrize(
    ("changed", "pays"),
    [
        ({}, True),
        ({"gradient_accumulation_steps": 2}, False),
        ({"world_size": 2}, False),
        ({"embedding_chunk_size": 8}, False),
    ],
)
def test_when_compiling_pays(changed, pays):
    args = {"gradient_accumulation_steps": 1, "world_size": 1, "embedding_chunk_size": None} | changed
    assert compile_pays(SimpleNamespace(**args), COMPILE_FROM_STEPS) == pays
    assert not compile_pays(SimpleNamespace(**args), COMPILE_FROM_STEPS - 1)


def embed_and_model():
    model = torch.nn.Linear(5, 3)
    return (lambda ids, mask: model((ids * mask).float())), model


def test_only_its_shape_is_compiled():
    embed, model = embed_and_model()
    compiled = CompiledEmbedding(embed, (4, 5), backend="aot_eager")
    seen = []
    inner = compiled._compiled
    compiled._compiled = lambda *inputs: seen.append(inputs[0].shape) or inner(*inputs)
    ids = torch.randint(9, (4, 5))
    compiled(ids, torch.ones_like(ids))
    assert not seen  # not before it is warm
    assert compiled.warm_up(model, CPU, nullcontext()) > 0
    assert model.weight.grad is None
    seen.clear()
    torch.testing.assert_close(compiled(ids, torch.ones_like(ids)), embed(ids, torch.ones_like(ids)))
    assert len(seen) == 1
    compiled(ids[:2], torch.ones_like(ids[:2]))
    with torch.no_grad():  # another graph
        compiled(ids, torch.ones_like(ids))
    assert len(seen) == 1


def test_no_gradient_lies_in_a_graph_when_it_runs_again(monkeypatch):
    """CUDA graphs refuse that: each pass of the warm-up has to begin without any."""
    embed, model = embed_and_model()
    before = []
    monkeypatch.setattr(
        torch, "compile", lambda function, **_: lambda *inputs: before.append(model.weight.grad) or function(*inputs)
    )
    CompiledEmbedding(embed, (4, 5)).warm_up(model, CPU, nullcontext())
    assert before == [None] * 3


def test_a_compiler_that_fails_is_done_without(capsys):
    embed, model = embed_and_model()

    def broken(graph, inputs):
        raise RuntimeError("no such card")

    compiled = CompiledEmbedding(embed, (4, 5), backend=broken)
    assert compiled.warm_up(model, CPU, nullcontext()) is None
    assert "could not be compiled and runs as it is" in capsys.readouterr().err
    ids = torch.randint(9, (4, 5))
    torch.testing.assert_close(compiled(ids, ids), embed(ids, ids))
