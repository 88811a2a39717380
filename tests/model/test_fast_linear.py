"""Linear layers by oneDNN: the same numbers, and who takes them."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from mixcse.model import fast_linear as module
from mixcse.model.fast_linear import fast_linear, onednn_is_faster
from mixcse.model.sentence_model import SentenceModel

needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise") or not torch.backends.mkldnn.is_available(), reason="no oneDNN"
)


@pytest.fixture
def taken(monkeypatch):
    """Which products oneDNN made: shapes."""
    shapes, own = [], torch.ops.mkldnn._linear_pointwise

    def product(x, *arguments):
        shapes.append(tuple(x.shape))
        return own(x, *arguments)

    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(module, "ROWS", 8)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", product)
    return shapes


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "x",
    [
        torch.randn(30, 64),
        torch.randn(4, 5, 64),
        torch.randn(64),
        torch.empty(0, 64),
        torch.randn(64, 30).t(),
        torch.randn(5, 2, 64)[:, 0],
    ],
    ids=["rows", "batch", "one", "none", "transposed", "strided"],
)
def test_same_numbers(taken, x, bias):
    layer = nn.Linear(64, 16, bias=bias)
    with torch.inference_mode():
        expected = layer(x)
        with fast_linear():
            found = layer(x)
    assert taken == [(8, 64)] * (x.numel() // 64 // 8)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(30, 64), (4, 5, 64), (64,)], ids=["rows", "batch", "one"])
@pytest.mark.parametrize("frozen", ["", "weight", "x"])
def test_same_gradients(taken, bias, shape, frozen):
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 16, bias=bias), torch.randn(shape, requires_grad=frozen != "x")
    layer.weight.requires_grad_(frozen != "weight")
    wanted = [tensor for tensor in (x, *layer.parameters()) if tensor.requires_grad]
    away = torch.randn(*shape[:-1], 16)
    expected = torch.autograd.grad(layer(x), wanted, away)
    with fast_linear():
        y = layer(x)
    found = torch.autograd.grad(y, wanted, away)  # outside, and in a thread of its own where there are several
    assert len(taken) == (1 + (frozen != "x") + (frozen != "weight")) * (x.numel() // 64 // 8)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_only_in_float32_inside(taken):
    layer, half = nn.Linear(8, 4), nn.Linear(8, 4, dtype=torch.bfloat16)
    with fast_linear():
        assert half(torch.randn(9, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
        nn.functional.linear(input=torch.randn(9, 8), weight=layer.weight)
    layer(torch.randn(9, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16), fast_linear():
        assert layer(torch.randn(9, 8)).dtype == torch.bfloat16
    assert taken == []


@needs_onednn
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_training_step_takes_it(taken, tiny_bert, checkpointing):
    """Both ways give the same gradients; where layers are computed twice it is left out."""
    found = []
    for fast in (True, False):
        model = SentenceModel.from_pretrained(tiny_bert, dropout=0.0)
        model.pooler = "cls_before_pooler"
        if checkpointing:
            model.encoder.gradient_checkpointing_enable()
        model.train()
        ids = torch.randint(5, 12, (4, 2, 7), generator=torch.Generator().manual_seed(0))
        with nullcontext() if fast else pytest.MonkeyPatch.context() as patch:
            if not fast:
                patch.setattr(module, "onednn_is_faster", lambda: False)
            z = model(ids, torch.ones_like(ids))["embeddings"]
        z.square().sum().backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        assert bool(taken) is not checkpointing
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("processor", "capability", "expected"), [
    ("vendor_id : AuthenticAMD", "AVX512", True),
    ("vendor_id : AuthenticAMD", "AVX2", False),
    ("vendor_id : GenuineIntel", "AVX512", False),
    ("", "AVX512", False),
])  # fmt: skip
@needs_onednn
def test_which_processors(tmp_path, monkeypatch, processor, capability, expected):
    (tmp_path / "cpuinfo").write_text(processor)
    monkeypatch.setattr(module, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert onednn_is_faster.__wrapped__() is expected
