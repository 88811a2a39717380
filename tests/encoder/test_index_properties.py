"""Properties of the index: it finds what sorting all scores finds, before and after it was on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from properties import ODD, WHATEVER, examples

from mixcse import SentenceIndex
from mixcse.encoder import index as index_module

# Products of such numbers are exact, and many of them equal.
EXACT = st.integers(-4, 4).map(lambda quarters: np.float32(quarters / 4))
ANY = st.floats(-1, 1, width=32)
THRESHOLD = st.none() | st.integers(-8, 8).map(lambda quarters: quarters / 4)


@st.composite
def searches(draw, components, least=0):
    """(rows of the index, queries, top_k)."""
    count, queries, dim = draw(st.integers(least, 40)), draw(st.integers(0, 5)), draw(st.integers(1, 4))
    rows = draw(arrays(np.float32, (count, dim), elements=components, fill=components))
    return rows, draw(arrays(np.float32, (queries, dim), elements=components)), draw(st.integers(1, 50))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(index_module, "BLOCK", 7)
    monkeypatch.setattr(index_module, "QUERIES", 2)


def index_of(rows, **options):
    return SentenceIndex(rows, [f"sentence {i}" for i in range(len(rows))], fingerprint="x", **options)


def by_sorting(rows, query, top_k, threshold=None):
    """(sentence, score, position) by falling score, of equal ones the first."""
    scores = [float(sum(a * b for a, b in zip(row, query, strict=True))) for row in rows.tolist()]
    order = sorted(range(len(rows)), key=lambda position: (-scores[position], position))[:top_k]
    hits = [(f"sentence {position}", scores[position], position) for position in order]
    return [hit for hit in hits if threshold is None or hit[1] >= threshold]


@given(searches(EXACT), THRESHOLD)
@examples(max_examples=300)
def test_search_finds_what_sorting_finds(search, threshold):
    """Equal scores, also around the last hit, come in the order of the index, in one block and across blocks."""
    rows, queries, top_k = search
    expected = [by_sorting(rows, query, top_k, threshold) for query in queries.tolist()]
    assert index_of(rows).search(queries, top_k, threshold) == expected


@given(searches(ANY, least=1))
@examples(max_examples=150)
def test_of_any_numbers_none_better_is_left_out(search):
    """Rounding may decide which of two that are nearly equal comes first, and no more."""
    rows, queries, top_k = search
    for query, hits in zip(queries, index_of(rows).search(queries, top_k), strict=True):
        exact = rows.astype(np.float64) @ query.astype(np.float64)
        found, scores = [hit.position for hit in hits], [hit.score for hit in hits]
        assert len(set(found)) == min(top_k, len(rows))
        np.testing.assert_allclose(exact[found], np.sort(exact)[::-1][: len(found)], atol=1e-6)
        np.testing.assert_allclose(scores, exact[found], atol=1e-6)
        assert scores == sorted(scores, reverse=True)


@given(searches(EXACT), st.data(), st.integers(1, 9))
@examples(max_examples=40)
def test_an_index_in_chunks_is_saved_and_loaded(tmp_path, search, data, chunk):
    rows, queries, top_k = search
    sentences = data.draw(st.lists(WHATEVER | ODD, min_size=len(rows), max_size=len(rows)))
    chunks = [(sentences[i : i + chunk], rows[i : i + chunk]) for i in range(0, len(rows), chunk)]
    index = SentenceIndex.collect(chunks, rows.shape[1], fingerprint="of an encoder")
    assert index.search(queries, top_k) == SentenceIndex(rows, sentences, fingerprint="").search(queries, top_k)
    index.save(tmp_path / "index")
    loaded = SentenceIndex.load(tmp_path / "index")
    assert loaded.sentences.to_pylist() == sentences
    assert np.array_equal(loaded.embeddings, rows)
    assert loaded.fingerprint == "of an encoder"
    assert loaded.search(queries, top_k) == index.search(queries, top_k)
