"""`SentenceEncoder`: order, empties, lengths, and which pooler it takes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mixcse import SentenceEncoder
from mixcse.data.batch import pad_rows
from mixcse.encoder import sentence_encoder as encoder_module
from mixcse.evaluate.metrics import alignment, uniformity
from mixcse.model.sentence_model import SentenceModel

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


def test_long_sentences_are_cut(encoder, tiny_bert):
    assert encoder.max_seq_length == 64
    words = ["cat"] * 500
    np.testing.assert_allclose(encoder.encode([" ".join(words)]), encoder.encode([" ".join(words[:62])]), atol=1e-6)
    short = SentenceEncoder(tiny_bert, max_seq_length=5)
    np.testing.assert_allclose(short.encode(["the cat sat on the mat"]), short.encode(["the cat sat"]), atol=1e-6)


def test_the_recorded_pooler_is_taken_and_another_one_warned_about(tiny_bert, tmp_path, capsys):
    plain = SentenceEncoder(tiny_bert)
    assert plain.pooler == "cls_before_pooler"
    assert f"{tiny_bert}: pooler cls_before_pooler (the default)\n" == capsys.readouterr().err
    SentenceModel.from_pretrained(tiny_bert).save_pretrained(tmp_path, recorded_pooler="avg")
    assert SentenceEncoder(tmp_path).pooler == "avg"
    assert "pooler avg (recorded in the model)" in capsys.readouterr().err
    assert SentenceEncoder(tmp_path, pooler="cls").pooler == "cls"
    said = capsys.readouterr().err
    assert "warning" in said
    assert "is to be used with pooler avg, recorded in the model; using cls, as asked" in said
    SentenceEncoder(tmp_path, pooler="cls")
    assert capsys.readouterr().err == ""  # once is enough


def test_a_model_in_memory_keeps_its_mode(tiny_bert):
    model = SentenceModel.from_pretrained(tiny_bert).train()
    encoder = SentenceEncoder(model)
    np.testing.assert_array_equal(encoder.encode(["the cat"]), encoder.encode(["the cat"]))
    assert model.training


def test_normalised_truncated_and_as_a_tensor(encoder):
    whole = encoder.encode(SENTENCES)
    unit = encoder.encode(SENTENCES, normalize=True)
    np.testing.assert_allclose(unit, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)
    short = encoder.encode(SENTENCES, truncate_dim=5)
    np.testing.assert_array_equal(short, whole[:, :5])
    short = encoder.encode(SENTENCES, truncate_dim=5, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    tensor = encoder.encode(SENTENCES, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), whole)
    assert encoder.encode([], convert_to_tensor=True, truncate_dim=5).shape == (0, 5)


def test_equal_sentences_are_encoded_once(encoder, monkeypatch):
    seen = []
    embeddings_of = encoder_module.embeddings_of

    def spy(model, sentences, **options):
        seen.extend(sentences)
        return embeddings_of(model, sentences, **options)

    monkeypatch.setattr(encoder_module, "embeddings_of", spy)
    embeddings = encoder.encode(["a dog", "", "a dog", "a cat", ""])
    assert seen == ["a dog", "", "a cat"]
    np.testing.assert_array_equal(embeddings[[0, 1]], embeddings[[2, 4]])


@pytest.mark.parametrize("pooler", ["cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last"])
def test_without_padding_as_with_it(tiny_bert, pooler):
    encoder = SentenceEncoder(tiny_bert, pooler=pooler)
    rows = pad_rows(encoder.model.tokenizer, encoder.model.tokenizer(SENTENCES[:1] + SENTENCES[2:])["input_ids"])
    expected = encoder.model.eval().embed(**rows, pooler=pooler)
    embeddings = encoder.encode(SENTENCES[:1] + SENTENCES[2:])
    np.testing.assert_allclose(embeddings, expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(tiny_bert, dtype):
    whole = SentenceEncoder(tiny_bert).encode(SENTENCES, normalize=True)
    encoder = SentenceEncoder.from_pretrained(tiny_bert, dtype=dtype)
    assert encoder.model.encoder.dtype == getattr(torch, dtype)
    halves = encoder.encode(SENTENCES, normalize=True)
    assert halves.dtype == np.float32
    cosines = (whole * halves).sum(axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-2 if dtype == "bfloat16" else 1e-4)
    if dtype == "float16":
        np.testing.assert_allclose(halves, whole, atol=1e-2)


def test_what_is_loaded_from_the_hub_is_said_to_it(monkeypatch, tiny_bert):
    asked = {}
    load = SentenceModel.from_pretrained
    monkeypatch.setattr(SentenceModel, "from_pretrained", lambda name, **hub: asked.update(hub) or load(tiny_bert))
    SentenceEncoder.from_pretrained("some/model", revision="v1", trust_remote_code=True)
    assert asked == {"revision": "v1", "trust_remote_code": True, "dtype": torch.float32}


def test_a_fingerprint_is_of_the_model_not_of_what_was_done_with_it(encoder, tiny_bert):
    before = encoder.fingerprint()
    encoder.encode(SENTENCES)
    assert encoder.fingerprint() == before == SentenceEncoder(tiny_bert).fingerprint()
    others = [SentenceEncoder(tiny_bert, **other) for other in ({"pooler": "avg"}, {"max_seq_length": 9})]
    assert len({before, *(other.fingerprint() for other in others)}) == 3


def test_threads_take_turns(encoder):
    lists = [[f"the cat {word} {n}" for n in range(20)] for word in ("sat", "ran", "saw", "left")]
    alone = [encoder.encode(sentences) for sentences in lists]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(encoder.encode, lists * 4))
    for number, embeddings in enumerate(together):
        np.testing.assert_array_equal(embeddings, alone[number % 4])


def test_similarity(encoder):
    a, b = ["a cat", "the dog"], ["a cat", "a mat", ""]
    cosines = encoder.similarity(a, b)
    assert cosines.shape == (2, 3)
    x, y = encoder.encode(a), encoder.encode(b)
    expected = [[x[i] @ y[j] / np.linalg.norm(x[i]) / np.linalg.norm(y[j]) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(cosines, expected, atol=1e-5)
    np.testing.assert_allclose(encoder.similarity(x, torch.tensor(y)), expected, atol=1e-5)


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
