"""How sentences become embeddings: batches, several processes, files."""

import json
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pyarrow import parquet

from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.encoder import batches as encoding
from mixcse.encoder import processes as workers
from mixcse.encoder import stream as streaming
from mixcse.encoder.batches import Row, batches, tokenised
from mixcse.model.packing import can_pack
from mixcse.model.sentence_model import SentenceModel


@pytest.fixture()
def encoder(tiny_bert):
    with SentenceEncoder(tiny_bert) as encoder:
        yield encoder


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


def have_ended():
    """A pool's own thread may be about to note what has ended."""
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


def test_processes_give_what_one_gives_and_end_when_they_have_to(encoder, toy_sentences, monkeypatch):
    sentences = [*toy_sentences[:150], "", "the cat " * 40, toy_sentences[0]]
    alone = encoder.encode(sentences)
    np.testing.assert_allclose(encoder.encode(sentences, processes=2), alone, atol=1e-5)
    children, started = encoder._workers, multiprocessing.active_children()
    assert len(started) == 2
    np.testing.assert_allclose(encoder.encode(sentences[:3], devices=["cpu", "cpu"]), alone[:3], atol=1e-5)
    assert encoder._workers is children
    os.kill(started[0].pid, signal.SIGKILL)
    started[0].join()
    with pytest.raises(UserError, match="a process that encodes has ended; if it was killed for memory"):
        encoder.encode(sentences, processes=2)
    assert have_ended()

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(sentences, devices=["cpu"])
    assert have_ended()


@pytest.fixture()
def in_threads(monkeypatch):
    """Threads in place of processes, which take seconds to start."""

    class Pool(ThreadPoolExecutor):
        def __init__(self, count, _, **options):
            super().__init__(count, **options)

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(workers, "_own", {})
    monkeypatch.setattr(workers, "_end_with_parent", lambda folder: None)
    monkeypatch.setattr(workers.signal, "signal", lambda *_: None)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")


def test_what_a_process_cannot_do_is_said(encoder, in_threads, monkeypatch):
    with pytest.raises(UserError, match="a process on cuda:99: "):
        encoder.encode(["a"], devices=["cuda:99"])

    def out_of_memory(*_, **__):
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(encoding, "encode_packed", out_of_memory)
    with pytest.raises(UserError, match="a process on cpu: out of memory$"):
        encoder.encode(["a"], devices=["cpu"])


def test_processes_are_new_when_the_model_is(tiny_bert):
    encoder = SentenceEncoder(SentenceModel.from_pretrained(tiny_bert))
    before = workers.key(encoder.model, ["cpu"])
    assert workers.key(encoder.model, ["cpu"]) == before
    assert workers.key(encoder.model, ["cpu", "cpu"]) != before
    with torch.no_grad():
        encoder.model.encoder.embeddings.word_embeddings.weight.mul_(2)
    assert workers.key(encoder.model, ["cpu"]) != before


def test_processes_are_for_a_cpu():
    assert workers.devices_of(torch.device("cuda:0"), 1, None) is None
    with pytest.raises(ValueError, match="name the GPUs in devices"):
        workers.devices_of(torch.device("cuda:0"), 2, None)


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is always full")
@pytest.mark.parametrize("name", ["out.npy", "out.parquet", "out.jsonl"])
def test_a_full_disk_names_the_file(encoder, tmp_path, lines, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device.*{name}"):
        encoder.encode_file(tmp_path / "lines.txt", tmp_path / name)
