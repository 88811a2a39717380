"""`SentenceEncoder`: order, empties, lengths, and which pooler it takes."""

import numpy as np
import pytest
import torch

from mixcse import SentenceEncoder
from mixcse.console import UserError
from mixcse.metrics import alignment, uniformity
from mixcse.modeling import SentenceModel

SENTENCES = ["the cat sat on the mat", "", "a dog", "the dog ran to the cat and sat", "a", "the cat sat on the mat"]


@pytest.fixture()
def encoder(tiny_bert):
    return SentenceEncoder(tiny_bert)


def test_order_is_kept_and_batches_do_not_matter(encoder):
    together = encoder.encode(SENTENCES)
    assert together.dtype == np.float32
    assert together.shape == (6, encoder.dim) == (6, 16)
    one_by_one = np.concatenate([encoder.encode([sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    np.testing.assert_allclose(together, encoder.encode(SENTENCES, batch_size=2), atol=1e-5)
    np.testing.assert_array_equal(together, encoder.encode(SENTENCES))


def test_nothing_to_encode(encoder):
    assert encoder.encode([]).shape == (0, 16)


@pytest.mark.parametrize("wrong", ["one string", ["a", None], ["a", 0], [["a"]]])
def test_only_lists_of_strings_are_encoded(encoder, wrong):
    with pytest.raises(TypeError, match="string"):
        encoder.encode(wrong)


def test_a_batch_has_at_least_one_sentence(encoder):
    with pytest.raises(ValueError, match="batch_size"):
        encoder.encode(["a"], batch_size=0)


def test_long_sentences_are_cut(encoder, tiny_bert):
    assert encoder.max_seq_length == 64
    words = ["cat"] * 500
    np.testing.assert_allclose(encoder.encode([" ".join(words)]), encoder.encode([" ".join(words[:62])]), atol=1e-6)
    short = SentenceEncoder(tiny_bert, max_seq_length=5)
    np.testing.assert_allclose(short.encode(["the cat sat on the mat"]), short.encode(["the cat sat"]), atol=1e-6)
    for wrong in (0, 65):
        with pytest.raises(UserError, match="outside 1 to 64"):
            SentenceEncoder(tiny_bert, max_seq_length=wrong)


def test_the_recorded_pooler_is_taken_and_another_one_warned_about(tiny_bert, tmp_path, capsys):
    plain = SentenceEncoder(tiny_bert)
    assert plain.pooler == "cls_before_pooler"
    assert "pooler: cls_before_pooler (the default)" in capsys.readouterr().err
    SentenceModel.from_pretrained(tiny_bert).save_pretrained(tmp_path, recorded_pooler="avg")
    assert SentenceEncoder(tmp_path).pooler == "avg"
    assert "pooler: avg (recorded in the model)" in capsys.readouterr().err
    assert SentenceEncoder(tmp_path, pooler="cls").pooler == "cls"
    said = capsys.readouterr().err
    assert "warning" in said
    assert "tested with pooler avg" in said


def test_unusable_poolers(tiny_bert, tmp_path, tokenizer, tiny_sizes):
    with pytest.raises(UserError, match="'max' is not one of cls"):
        SentenceEncoder(tiny_bert, pooler="max")
    from test_model import make_folder

    with pytest.raises(UserError, match="no trained head"):
        SentenceEncoder(make_folder(tmp_path, tokenizer, tiny_sizes, "distilbert"), pooler="cls")


def test_a_missing_model_is_named():
    with pytest.raises(UserError, match="no/such/model"):
        SentenceEncoder("no/such/model")


def test_a_model_in_memory_keeps_its_mode(tiny_bert):
    model = SentenceModel.from_pretrained(tiny_bert).train()
    encoder = SentenceEncoder(model)
    np.testing.assert_array_equal(encoder.encode(["the cat"]), encoder.encode(["the cat"]))
    assert model.training


def test_alignment_and_uniformity_by_their_definitions():
    rng = np.random.default_rng(0)
    x, y, scores = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), np.array([5.0, 4.0, 4.2, 0.0, 3.0])

    def unit(v):
        return v / np.linalg.norm(v)

    expected = np.mean([np.sum((unit(x[i]) - unit(y[i])) ** 2) for i in (0, 2)])  # above 4, not 4 itself
    assert alignment(x, y, scores) == pytest.approx(expected)
    assert np.isnan(alignment(x, y, np.zeros(5)))
    pairs = [np.exp(-2 * np.sum((unit(x[i]) - unit(x[j])) ** 2)) for i in range(5) for j in range(i)]
    assert uniformity(x) == pytest.approx(np.log(np.mean(pairs)))


def test_uniformity_over_several_chunks():
    x = np.random.default_rng(0).normal(size=(2500, 4))
    distances = torch.pdist(torch.nn.functional.normalize(torch.tensor(x), dim=-1))
    assert uniformity(x) == pytest.approx(distances.square().mul(-2).exp().mean().log().item())
