"""`mixcse encode --engine ray`, on a local Ray of two workers."""

import csv
import gzip
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import zipfile
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from pathlib import Path

import fsspec
import numpy as np
import pytest
from pyarrow import parquet

from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.encoder.encode_command import _parse, main

ray = pytest.importorskip("ray", reason="needs Ray (the extra `ray`)")
from mixcse.encoder import ray_engine  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def cluster():
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    signal.signal(signal.SIGTERM, on_sigterm)
    yield
    ray.shutdown()


QUOTED = ['one, "two"', "three\nfour", *(f"row {i}" for i in range(23))]


def write_rows(path, sentences):
    """Write a file of the kind that its name says, with a row for each sentence."""
    if path.suffix == ".parquet":
        parquet.write_table(ray_table(sentences), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": sentence}) + "\n" for sentence in sentences))
    elif path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([["text"], *([sentence] for sentence in sentences)])
    else:
        path.write_text("\n".join((["text"] if path.suffix == ".tsv" else []) + sentences) + "\n")


LARGE = [f"large{kind}" for kind in ray_engine.SPLIT]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, toy_sentences):
    """Small files of several kinds, 20 sentences each, and one of each kind that is split: 900 sentences, by 300."""
    folder = tmp_path_factory.mktemp("corpus")
    parts = [toy_sentences[20 * i : 20 * i + 20] for i in range(5)]
    for i in range(2):
        (folder / f"plain-{i}.txt").write_text("\n".join(parts[i]) + "\n")
    (folder / "windows.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(parts[2]).encode())
    with gzip.open(folder / "packed.txt.gz", "wt") as file:
        file.write("\n".join([*parts[3][:19], ""]) + "\n")
    parquet.write_table(ray_table(parts[4]), folder / "table.parquet")
    many = [f"{sentence} {number}" for number in range(3) for sentence in toy_sentences][:900]
    for name in LARGE:
        write_rows(folder / name, [*QUOTED, *many[len(QUOTED) :]] if name.endswith(".csv") else many)
    return folder


def ray_table(sentences):
    import pyarrow

    return pyarrow.table({"number": list(range(len(sentences))), "text": sentences})


def encode(model, corpus, out, *options):
    main([str(corpus), "--model", str(model), "--output", str(out), "--engine", "ray", "--device", "cpu", *options])


def made(out):
    """Of each part, its sentences and embeddings."""
    tables = {path.name: parquet.read_table(path) for path in sorted(out.glob("*.parquet"))}
    return {name: (one["sentence"].to_pylist(), np.array(one["embedding"].to_pylist())) for name, one in tables.items()}


def workers():
    """The processes that encode, as folders of /proc; those of this program's Ray."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            encodes = (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker")
            if encodes and parent(parent(folder)).samefile("/proc/self"):
                yield folder


def parent(folder):
    return Path("/proc") / re.search(r"PPid:\s+(\d+)", (folder / "status").read_text())[1]


@contextmanager
def beside(watch):
    """Calls it again and again in a thread while the block runs, until it returns something true."""
    over = threading.Event()

    def repeat():
        while not over.is_set() and not watch():
            time.sleep(0.03)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def encoded(tiny_bert, corpus, tmp_path_factory):
    """The corpus in parts, and what was said of it; one of the workers was killed."""
    out, killed = tmp_path_factory.mktemp("parts") / "out", []

    def kill():
        if list(out.glob("*.parquet")) and (found := [*workers()]):
            os.kill(int(found[0].name), signal.SIGKILL)
            killed.append(len(list(out.glob("*.parquet"))))
        return killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_engine, "SPLIT_BYTES", max(path.stat().st_size for path in corpus.glob("[pwt]*")))
        patch.setattr(ray_engine, "SPLIT_ROWS", 300)
        with redirect_stderr(StringIO()) as said, beside(kill):
            encode(tiny_bert, corpus, f"file://{out}", "--normalize")
        assert 0 < killed[0] < 20
        yield out, said.getvalue()


def test_parts_hold_what_one_process_would_give(tiny_bert, corpus, encoded, tmp_path):
    """Whole files and ranges of rows; and a worker that is killed loses nothing."""
    out, said = encoded
    assert said.splitlines() == [
        f"{tiny_bert}: pooler cls_before_pooler",
        f"4,600 embeddings in file://{out}: 20 parts, and 0 that were there",
    ]
    assert not list(out.glob("_tmp*"))
    parts, encoder = made(out), SentenceEncoder(tiny_bert)
    for path in corpus.iterdir():
        encoder.encode_file(path, tmp_path / "alone.parquet", normalize=True)
        alone = parquet.read_table(tmp_path / "alone.parquet")
        ranges = [f"-0000{number}-of-00003" for number in range(3)] if path.name in LARGE else [""]
        own = [parts.pop(f"{path.name}{rows}.parquet") for rows in ranges]
        assert [len(sentences) for sentences, _ in own] == ([300] * 3 if path.name in LARGE else [20])
        assert [one for sentences, _ in own for one in sentences] == alone["sentence"].to_pylist()
        embeddings = np.concatenate([embeddings for _, embeddings in own])
        np.testing.assert_allclose(embeddings, np.array(alone["embedding"].to_pylist()), atol=1e-5)
    assert not parts


def test_the_same_command_goes_on(tiny_bert, corpus, encoded, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(encoded[0], out)  # wherever the folder is now
    before = made(out)
    (out / "plain-0.txt.parquet").unlink()
    (out / "table.parquet.parquet").unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    encode(tiny_bert, corpus, out, "--normalize", "--processes", "1")
    assert f"40 embeddings in {out}: 2 parts, and 18 that were there" in capsys.readouterr().err
    assert kept == {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name in kept}
    after = made(out)
    assert {name: sentences for name, (sentences, _) in after.items()} == {name: one[0] for name, one in before.items()}
    another = "holds parts of another command, model or corpus; name another"
    with pytest.raises(UserError, match=another):
        encode(tiny_bert, corpus, out, "--pooler", "avg")
    with pytest.raises(UserError, match=another):
        encode(tiny_bert, f"{corpus}/plain*", out, "--normalize")
    (corpus / "plain-1.txt").write_text("the cat\n")
    with pytest.raises(UserError, match=another):
        encode(tiny_bert, corpus, out, "--normalize")
    (out / "_command.json").unlink()
    with pytest.raises(UserError, match=another):
        encode(tiny_bert, corpus, out, "--normalize")


def test_what_is_wrong_in_a_large_file_is_one_line(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "SPLIT_BYTES", 1)
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{text: b}\n')
    with pytest.raises(UserError, match="bad.jsonl: line 2 is not valid JSON"):
        encode(tiny_bert, tmp_path / "bad.jsonl", tmp_path / "out")


def test_files_that_are_not_on_this_machine(tiny_bert, tmp_path):
    """Another machine is an archive here, and the output this process's memory."""
    archive, out = f"zip://*.txt::{tmp_path}/corpus.zip", "memory://out"
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as file:
        file.writestr("some.txt", "the cat\na dog\n")
    options = _parse(["--engine", "ray", "--model", str(tiny_bert), archive, "--output", out], "encode")
    part = {"path": ["some.txt"], "place": ["/out/some.txt.parquet"], "start": [0], "stop": [0], "options": [options]}
    assert ray_engine.Worker()(part) == {"count": [2], "fault": [""], "pooler": ["cls_before_pooler"]}
    (fault,) = ray_engine.Worker()(part | {"path": ["none.txt"]})["fault"]
    assert "none.txt" in fault
    options.model = str(tmp_path / "nowhere")
    assert "nowhere: no such folder" in ray_engine.Worker()(part)["fault"][0]
    memory = fsspec.filesystem("memory")
    assert memory.ls("/out", detail=False) == ["/out/some.txt.parquet"]
    with memory.open("/out/some.txt.parquet") as file:
        assert parquet.read_table(file)["sentence"].to_pylist() == ["the cat", "a dog"]


def test_what_is_wrong_is_said_in_one_line(tiny_bert, tmp_path, monkeypatch):
    corpus = tmp_path / "corpus"
    (corpus / "sub").mkdir(parents=True)
    (corpus / "broken.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(UserError, match="none-.*: no file matches"):
        encode(tiny_bert, f"{corpus}/none-*.txt", tmp_path / "out")
    (corpus / "sub" / "broken.txt").write_text("a\n")
    with pytest.raises(UserError, match="two of its files have one name"):
        encode(tiny_bert, f"{corpus}/**", tmp_path / "out")
    for input_, output, says in (
        ("nowhere://some.txt", tmp_path / "out", "--engine ray: Protocol not known: nowhere"),
        (corpus, corpus, "is what is read; name another folder"),
        (corpus, corpus / "broken.txt", "File exists"),
    ):
        with pytest.raises(UserError, match=says):
            encode(tiny_bert, input_, output)
    for words in (["-"], ["some.txt", "--output", "-"]):
        with pytest.raises(UserError, match="name FILE and --output DIR, not -"):
            main([*words, "--model", str(tiny_bert), "--engine", "ray"])
    monkeypatch.setitem(sys.modules, "mixcse.encoder.ray_engine", None)
    with pytest.raises(UserError, match=r'needs Ray: pip install "ray\[data\]"'):
        encode(tiny_bert, corpus, tmp_path / "out")
