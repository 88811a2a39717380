"""`SentenceIndex` with an encoder: built, saved, loaded, and approximate by faiss.  Its exact search: properties."""

import json

import numpy as np
import pytest

from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.encoder import stream
from mixcse.encoder.index import Hit


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return SentenceEncoder(tiny_bert)


def positions(found):
    return [[hit.position for hit in hits] for hits in found]


@pytest.mark.parametrize("kind", ["HNSW32", "PQ16x4", "PCA8,Flat", "IVF4,PQ8x4", "SQ8"])
def test_scores_are_cosines_whatever_finds_the_candidates(encoder, toy_sentences, kind, tmp_path):
    pytest.importorskip("faiss")
    encoder.build_index(toy_sentences, faiss=kind).save(tmp_path / "index")
    encoder.load_index(tmp_path / "index")
    assert encoder.index.faiss_index.ntotal == len(toy_sentences)
    embeddings = encoder.encode(toy_sentences, normalize=True)
    for query, hits in zip(embeddings[:20], encoder.search(toy_sentences[:20], top_k=4), strict=True):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx([query @ embeddings[hit.position] for hit in hits], abs=1e-5)
        assert scores[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["HNSW16_PQ8x4", "nonsense", "IVF400,Flat", True])
def test_types_that_faiss_cannot_make_are_refused(encoder, toy_sentences, kind):
    """Of the first one faiss makes an index of distances, whatever metric it is asked for."""
    pytest.importorskip("faiss")
    with pytest.raises(UserError, match=f"faiss={kind!r}: .*(distances|parse|points|Wrong)"):
        encoder.build_index(toy_sentences[:50], faiss=kind)


def test_faiss_is_optional(encoder, monkeypatch, tmp_path):
    pytest.importorskip("faiss")
    encoder.build_index(["a", "b"], faiss="HNSW16").save(tmp_path / "index")
    monkeypatch.setattr("mixcse.encoder.index.find_spec", lambda name: None)
    for needs_it in (
        lambda: encoder.build_index(["a"], faiss="HNSW16"),
        lambda: encoder.load_index(tmp_path / "index"),
    ):
        with pytest.raises(UserError, match="pip install faiss-cpu"):
            needs_it()
    assert encoder.build_index(["a"], faiss="Flat").faiss_index is None


def test_a_sentence_is_its_own_hit_at_a_threshold_of_one(encoder, toy_sentences):
    """Rounding to float32 takes no hit away, and no cosine is above 1."""
    sentences = toy_sentences[:200]
    encoder.build_index(sentences)
    found = encoder.search(sentences, top_k=1, threshold=1)
    assert positions(found) == [[row] for row in range(200)]
    assert all(0.999998 <= hits[0].score <= 1 for hits in found)
    assert encoder.similarity(sentences, sentences).max() <= 1


def test_sentences_of_a_file_are_found(encoder, tmp_path, toy_sentences, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 20)
    (tmp_path / "lines.txt").write_text("\n".join(toy_sentences[:50]))
    index = encoder.build_index(tmp_path / "lines.txt")
    assert encoder.index is index and len(index) == 50
    assert index.sentences.to_pylist() == toy_sentences[:50]
    np.testing.assert_allclose(index.embeddings, encoder.encode(toy_sentences[:50], normalize=True), atol=1e-6)
    (hit,) = encoder.search(toy_sentences[7], top_k=1)
    assert hit == Hit(toy_sentences[7], pytest.approx(1, abs=1e-5), 7)
    assert encoder.search(toy_sentences[7], threshold=1.1) == encoder.search([]) == []


@pytest.mark.parametrize("recorded", [None, "Flat"])
def test_saved_and_loaded(encoder, tiny_bert, tmp_path, toy_sentences, recorded):
    """`Flat` stands in folders of earlier versions, for an exact search by faiss."""
    before = encoder.build_index(toy_sentences[:50]).search(encoder.encode(toy_sentences[:5], normalize=True))
    encoder.index.save(tmp_path / "index")
    described = json.loads((tmp_path / "index" / "index.json").read_text())
    assert described.items() >= {"version": 1, "count": 50, "dim": 16, "faiss": None}.items()
    (tmp_path / "index" / "index.json").write_text(json.dumps(described | {"faiss": recorded}))
    other = SentenceEncoder(tiny_bert)
    index = other.load_index(tmp_path / "index")
    assert isinstance(index.embeddings, np.memmap) and index.faiss_index is None
    assert other.search(toy_sentences[:5]) == before
    index.save(tmp_path / "index")  # over the file that is mapped
    assert other.load_index(tmp_path / "index").sentences == index.sentences
    assert other.search(toy_sentences[:5]) == before


def test_prompts_of_queries_and_of_the_corpus(tiny_bert, tmp_path, toy_sentences):
    encoder, plain = SentenceEncoder(tiny_bert, prompt="the cat: "), SentenceEncoder(tiny_bert)
    encoder.build_index(toy_sentences[:9], prompt="a dog: ")
    (hit,) = encoder.search(toy_sentences[3], top_k=1)
    queries = plain.encode(["the cat: " + toy_sentences[3]], normalize=True)
    scores = queries @ plain.encode(["a dog: " + sentence for sentence in toy_sentences[:9]], normalize=True).T
    assert (hit.position, hit.score) == (scores.argmax(), pytest.approx(scores.max(), abs=1e-5))
    (own,) = encoder.search(toy_sentences[3], top_k=1, prompt="a dog: ")
    assert (own.position, own.score) == (3, pytest.approx(1, abs=1e-5))


@pytest.mark.parametrize("options", [{"pooler": "avg"}, {"max_seq_length": 9}, {"prompt": "the cat: "}])
def test_an_index_belongs_to_one_encoder(encoder, tiny_bert, tmp_path, options):
    encoder.build_index(["a"]).save(tmp_path / "index")
    other = SentenceEncoder(tiny_bert, **options)
    with pytest.raises(UserError, match=r"index: the index was built with another encoder \(model, pooler"):
        other.load_index(tmp_path / "index")
    assert other.index is None
