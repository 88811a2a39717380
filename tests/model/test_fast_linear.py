"""Linear layers by oneDNN: the same numbers, and who takes them."""

import pytest
import torch
from torch import nn

from mixcse.model import fast_linear as module
from mixcse.model.fast_linear import fast_linear, onednn_is_faster

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
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", product)
    return shapes


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "x",
    [
        torch.randn(30, 64),
        torch.randn(2, 3, 64),
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
    assert taken == [tuple(x.shape)]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_only_without_gradients_in_float32_inside(taken):
    layer, half = nn.Linear(8, 4), nn.Linear(8, 4, dtype=torch.bfloat16)
    with fast_linear():
        layer(torch.randn(3, 8)).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        with fast_linear():
            assert half(torch.randn(3, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
            nn.functional.linear(input=torch.randn(3, 8), weight=layer.weight)
        layer(torch.randn(3, 8))
    assert taken == []


@pytest.mark.parametrize(("processor", "capability", "expected"), [
    ("vendor_id : AuthenticAMD", "AVX512", True),
    ("vendor_id : AuthenticAMD", "AVX2", False),
    ("vendor_id : GenuineIntel", "AVX512", False),
    ("", "AVX512", False),
])  # fmt: skip
@needs_onednn
def test_which_processors(monkeypatch, processor, capability, expected):
    monkeypatch.setattr(module, "_processor", lambda: processor)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert onednn_is_faster.__wrapped__() is expected


def test_a_processor_that_says_nothing(monkeypatch):
    def fail(self):
        raise OSError

    monkeypatch.setattr(module.Path, "read_text", fail)
    assert module._processor() == ""
