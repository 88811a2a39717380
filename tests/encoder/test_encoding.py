"""How sentences become embeddings: batches, files."""

import json
import sys
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pyarrow import parquet

from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.encoder import batches as encoding
from mixcse.encoder import stream as streaming
from mixcse.encoder.batches import Row, batches, tokenised
from mixcse.model.packing import can_pack


@pytest.fixture()
def encoder(tiny_bert):
    return SentenceEncoder(tiny_bert)


def test_batches_hold_at_most_so_many_tokens_padding_counted():
    rows = [Row(position, [0] * length) for position, length in enumerate([9, 5, 4, 4, 1, 3, 1, 12, 1])]
    cut = list(batches(rows, 10))
    assert [row for batch in cut for row in batch] == rows
    sizes = [[len(row.ids) for row in batch] for batch in cut]
    assert sizes == [[9], [5, 4], [4, 1], [3, 1], [12], [1]]
    assert list(batches([], 10)) == []


def test_tokens_come_longest_first_a_chunk_ahead(encoder, monkeypatch, toy_sentences):
    monkeypatch.setattr(encoding, "TOKENISED_AT_ONCE", 50)
    sentences = [*toy_sentences[:120], "", "the " * 200]
    rows = list(tokenised(encoder.model.tokenizer, sentences, 7))
    assert sorted(row.position for row in rows) == list(range(122))
    expected = encoder.model.tokenizer([s or " " for s in sentences], truncation=True, max_length=7)["input_ids"]
    assert all(row.ids == expected[row.position] for row in rows)
    assert rows[0].position == 121
    assert rows[-1].position == 120


def test_adapters_are_part_of_the_embedding(tiny_bert):
    class Adapted(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    encoder = SentenceEncoder(tiny_bert)
    plain = encoder.encode(["the cat sat"])
    encoder.model.encoder.encoder.layer[-1].attention.self.value.__class__ = Adapted
    assert not can_pack(encoder.model.encoder)
    assert np.abs(encoder.encode(["the cat sat"]) - plain).max() > 1e-3


@pytest.fixture()
def lines(tmp_path, toy_sentences, monkeypatch):
    """A file of 100 sentences, which are encoded 40 at a time."""
    monkeypatch.setattr(streaming, "CHUNK", 40)
    sentences = [*toy_sentences[:98], "", 'a "quoted" dög']
    (tmp_path / "lines.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return sentences


def read(path):
    if path.suffix == ".npy":
        return None, np.load(path)
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        return table["sentence"].to_pylist(), np.array(table["embedding"].to_pylist(), dtype=np.float32)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["sentence"] for row in rows], np.array([row["embedding"] for row in rows], dtype=np.float32)


@pytest.mark.parametrize("name", ["out.npy", "new/out.parquet", "out.jsonl"])
def test_a_file_into_a_file(encoder, tmp_path, lines, name):
    assert encoder.encode_file(tmp_path / "lines.txt", tmp_path / name, normalize=True, truncate_dim=7) == 100
    sentences, embeddings = read(tmp_path / name)
    assert sentences in (None, lines)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, encoder.encode(lines, normalize=True, truncate_dim=7), atol=1e-6)


def test_to_stdout(encoder, tmp_path, lines, monkeypatch):
    stdout = BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=stdout))
    encoder.encode_file(tmp_path / "lines.txt", "-")
    assert [json.loads(line)["sentence"] for line in stdout.getvalue().decode().splitlines()] == lines


def test_nothing_half_written(encoder, tmp_path, lines, monkeypatch):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="written to .npy, .parquet, .jsonl"):
        encoder.encode_file(tmp_path / "lines.txt", tmp_path / "out.csv")
    for name in ("out.npy", "out.parquet", "out.jsonl"):
        with pytest.raises(UserError, match="missing.txt"):
            encoder.encode_file(tmp_path / "missing.txt", tmp_path / name)
    encode = encoder.encode

    def interrupted(sentences, **options):
        if sentences[-1] == lines[-1]:
            raise KeyboardInterrupt
        return encode(sentences, **options)

    monkeypatch.setattr(encoder, "encode", interrupted)
    for name in ("out.npy", "out.parquet", "out.jsonl"):
        with pytest.raises(KeyboardInterrupt):
            encoder.encode_file(tmp_path / "lines.txt", tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


def test_truncated_sentences_are_warned_of_once(tiny_bert, capsys):
    encoder = SentenceEncoder(tiny_bert, max_seq_length=5)
    sentences = ["the cat sat", *[f"a {word}" for word in "abcdefgh"]]
    encoder.encode(sentences)
    assert "truncated" not in capsys.readouterr().err
    for _ in range(2):
        encoder.encode([*sentences, "the cat sat on the mat"])
    said = "10.0 % of the sentences have more than 5 tokens and are truncated (the longest has 9; max_seq_length can be"
    assert capsys.readouterr().err.count(f"{said} 64)") == 1
