"""`SentenceIndex`: finds what a loop over all sentences finds; saved, loaded, and of one encoder."""

import numpy as np
import pytest

from mixcse import SentenceEncoder, SentenceIndex
from mixcse.base.errors import UserError
from mixcse.encoder import index as index_module
from mixcse.encoder.index import Hit


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return SentenceEncoder(tiny_bert)


def by_hand(queries, rows, top_k, threshold=-np.inf):
    """Positions by falling score; of equal scores the first."""
    found = []
    for query in queries:
        scores = [float(np.dot(query, row)) for row in rows]
        order = sorted(range(len(rows)), key=lambda position: (-scores[position], position))
        found.append([position for position in order[:top_k] if scores[position] >= threshold])
    return found


def positions(hits):
    return [[hit.position for hit in of_query] for of_query in hits]


@pytest.fixture()
def small_blocks(monkeypatch):
    monkeypatch.setattr(index_module, "BLOCK", 16)
    monkeypatch.setattr(index_module, "QUERIES", 4)


def test_faiss_finds_the_same(small_blocks):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(1)
    rows, queries = (rng.normal(size=(n, 8)).astype(np.float32) for n in (200, 9))
    names = [str(i) for i in range(200)]
    exact = SentenceIndex(rows, names, fingerprint="x", faiss=False)
    flat = SentenceIndex(rows, names, fingerprint="x", faiss=True)
    assert exact.faiss_index is None
    assert flat.faiss_index.ntotal == 200
    assert positions(flat.search(queries, 7)) == positions(exact.search(queries, 7))
    approximate = SentenceIndex(rows, names, fingerprint="x", faiss="HNSW16")
    assert [of_query[0].position for of_query in approximate.search(queries, 1)] == [
        of_query[0].position for of_query in exact.search(queries, 1)
    ]
    with pytest.raises(UserError, match="faiss='nonsense'"):
        SentenceIndex(rows, names, fingerprint="x", faiss="nonsense")


@pytest.mark.parametrize("kind", ["HNSW32", "PQ16x4", "PCA8,Flat", "IVF4,PQ8x4", "SQ8"])
def test_scores_are_cosines_whatever_finds_the_candidates(encoder, toy_sentences, kind, tmp_path):
    pytest.importorskip("faiss")
    encoder.build_index(toy_sentences, faiss=kind)
    encoder.index.save(tmp_path / "index")
    encoder.load_index(tmp_path / "index")
    exact = encoder.encode(toy_sentences, normalize=True)
    for hits in encoder.search(toy_sentences[:20], top_k=4):
        assert hits[0].score == pytest.approx(1, abs=1e-5)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
    for query, hits in zip(exact[:20], encoder.search(toy_sentences[:20], top_k=4), strict=True):
        assert [hit.score for hit in hits] == pytest.approx([query @ exact[hit.position] for hit in hits], abs=1e-5)


@pytest.mark.parametrize("kind", ["HNSW32_PQ24", "HNSW16_PQ16x4", "NSG16_PQ16x4"])
def test_an_index_of_distances_is_refused(kind):
    """faiss makes these by L2 whatever metric it is asked for: the worst hit came first."""
    pytest.importorskip("faiss")
    rows = np.random.default_rng(0).normal(size=(600, 48)).astype(np.float32)
    with pytest.raises(UserError, match=f"faiss='{kind}': faiss makes it an index of distances, not of inner products"):
        SentenceIndex(rows, [str(i) for i in range(600)], fingerprint="x", faiss=kind)


def test_a_sentence_is_its_own_hit_at_a_threshold_of_one(encoder, toy_sentences):
    """float32's rounding takes no hit away, and no cosine is above 1."""
    sentences = toy_sentences[:200]
    encoder.build_index(sentences)
    found = encoder.search(sentences, top_k=1, threshold=1)
    assert [hits[0].position for hits in found] == list(range(200))
    assert all(0.999998 <= hits[0].score <= 1 for hits in found)
    assert encoder.similarity(sentences, sentences).max() <= 1


@pytest.mark.parametrize("faiss", [False, True])
def test_nothing_is_like_its_opposite_or_like_zero(faiss):
    """A row at a right angle or beyond is below every threshold above 0; nothing is NaN."""
    if faiss:
        pytest.importorskip("faiss")
    rows = np.array([[1, 0], [0, 1], [-1, 0], [0, 0]], dtype=np.float32)
    index = SentenceIndex(rows, list("abcd"), fingerprint="x", faiss=faiss)
    (hits,) = index.search(rows[:1], 4)
    assert [(hit.sentence, hit.score) for hit in hits] == [("a", 1), ("b", 0), ("d", 0), ("c", -1)]
    assert positions(index.search(rows[:1], 4, threshold=0.75)) == [[0]]
    assert {hit.score for hit in index.search(rows[3:], 4)[0]} == {0}


def test_faiss_is_for_large_sets_and_optional(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(index_module, "LARGE", 50)
    rows = np.eye(60, dtype=np.float32)
    names = [str(i) for i in range(60)]
    assert SentenceIndex(rows, names, fingerprint="x").kind == "Flat"
    assert SentenceIndex(rows[:40], names[:40], fingerprint="x").kind is None
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)  # as if it were not installed
    assert SentenceIndex(rows, names, fingerprint="x").kind is None
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        SentenceIndex(rows, names, fingerprint="x", faiss=True)


def test_sentences_are_found(encoder, toy_sentences):
    index = encoder.build_index(toy_sentences[:50])
    assert encoder.index is index
    assert len(index) == 50
    np.testing.assert_allclose(np.linalg.norm(index.embeddings, axis=1), 1, atol=1e-6)
    hits = encoder.search([toy_sentences[7], toy_sentences[3]], top_k=2)
    assert positions(hits) == by_hand(encoder.encode([toy_sentences[7], toy_sentences[3]]), index.embeddings, 2)
    (hit,) = encoder.search(toy_sentences[7], top_k=1)
    assert isinstance(hit, Hit)
    assert (hit.sentence, hit.position) == (toy_sentences[7], 7)
    assert hit.score == pytest.approx(1, abs=1e-5)
    assert encoder.search(toy_sentences[7], threshold=1.1) == []
    assert encoder.search([]) == []


def test_of_a_file(encoder, tmp_path, toy_sentences, monkeypatch):
    from mixcse.encoder import stream as streaming

    monkeypatch.setattr(streaming, "CHUNK", 20)
    (tmp_path / "lines.txt").write_text("\n".join(toy_sentences[:50]))
    index = encoder.build_index(tmp_path / "lines.txt")
    assert index.sentences.to_pylist() == toy_sentences[:50]
    np.testing.assert_allclose(index.embeddings, encoder.encode(toy_sentences[:50], normalize=True), atol=1e-6)


def test_nothing_in_it(encoder, tmp_path):
    encoder.build_index([]).save(tmp_path / "index")
    encoder.load_index(tmp_path / "index")
    assert encoder.search(["a", "b"]) == [[], []]


@pytest.mark.parametrize("faiss", [None, True, "HNSW16"])
def test_saved_and_loaded(encoder, tiny_bert, tmp_path, toy_sentences, faiss):
    if faiss:
        pytest.importorskip("faiss")
    encoder.build_index(toy_sentences[:50], faiss=faiss)
    before = encoder.search(toy_sentences[:5])
    encoder.index.save(tmp_path / "index")
    other = SentenceEncoder(tiny_bert)
    other.encode(["a"])
    index = other.load_index(tmp_path / "index")
    assert isinstance(index.embeddings, np.memmap)
    assert index.kind == encoder.index.kind
    assert other.search(toy_sentences[:5]) == before
    assert SentenceIndex.load(tmp_path / "index", faiss=False).faiss_index is None
    index.save(tmp_path / "index")  # over what it is mapped from
    assert SentenceIndex.load(tmp_path / "index").search(encoder.encode(["a"])) == index.search(encoder.encode(["a"]))


def test_an_index_is_of_one_encoder(encoder, tiny_bert, tmp_path):
    encoder.build_index(["a"]).save(tmp_path / "index")
    for other in (SentenceEncoder(tiny_bert, pooler="avg"), SentenceEncoder(tiny_bert, max_seq_length=9)):
        with pytest.raises(UserError, match="index is of another encoder"):
            other.load_index(tmp_path / "index")
        assert other.index is None
    encoder.index = None
    with pytest.raises(UserError, match="no index"):
        encoder.search("a")


def test_prompts_of_queries_and_of_what_is_searched(tiny_bert, tmp_path, toy_sentences):
    encoder, plain = SentenceEncoder(tiny_bert, prompt="the cat: "), SentenceEncoder(tiny_bert)
    encoder.build_index(toy_sentences[:9], prompt="a dog: ")
    (hit,) = encoder.search(toy_sentences[3], top_k=1)
    queries = plain.encode(["the cat: " + toy_sentences[3]], normalize=True)
    scores = queries @ plain.encode(["a dog: " + sentence for sentence in toy_sentences[:9]], normalize=True).T
    assert (hit.position, hit.score) == (scores.argmax(), pytest.approx(scores.max(), abs=1e-5))
    (own,) = encoder.search(toy_sentences[3], top_k=1, prompt="a dog: ")
    assert (own.position, own.score) == (3, pytest.approx(1, abs=1e-5))
    encoder.index.save(tmp_path / "index")
    with pytest.raises(UserError, match="is of another encoder: model, pooler, max_seq_length, prompt"):
        plain.load_index(tmp_path / "index")
