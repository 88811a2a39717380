"""Properties of the readers: what is written is read back, and no bytes whatever lead to anything but a UserError."""

import csv
import gzip
import io
import json

import pyarrow as pa
from hypothesis import assume, example, given
from hypothesis import strategies as st
from properties import ODD, ONE_LINE, WHATEVER, examples
from pyarrow import parquet

from mixcse.base.errors import UserError
from mixcse.data.formats import FORMATS
from mixcse.data.reading import iter_sentences

DELIMITERS, KINDS = {".csv": ",", ".tsv": "\t"}, tuple(FORMATS)
KIND = st.sampled_from(KINDS)
LINE_END = st.sampled_from(["\n", "\r\n"])


def as_bytes(kind, sentences, line_end="\n", shape=0):
    """A file of sentences, in one of the shapes that its kind can have."""
    if kind == ".txt":
        text = "".join(sentence + line_end for sentence in sentences)
    elif kind in DELIMITERS:
        file = io.StringIO()
        quoting = csv.QUOTE_ALL if shape % 2 or kind == ".tsv" else csv.QUOTE_MINIMAL
        writer = csv.writer(file, delimiter=DELIMITERS[kind], lineterminator=line_end, quoting=quoting)
        writer.writerows([["sentence", "other"], *([sentence, "x"] for sentence in sentences)])
        text = file.getvalue()
    elif kind == ".parquet":
        file = io.BytesIO()
        parquet.write_table(pa.table({"sentence": pa.array(sentences, pa.string())}), file)
        return file.getvalue()
    else:
        records = [sentence if shape % 2 else {"sentence": sentence} for sentence in sentences]
        records = records[:1] if kind == ".json" and shape == 2 else records
        dumped = [json.dumps(record, ensure_ascii=shape > 1) for record in records]
        if kind == ".jsonl" or shape == 3:
            text = line_end.join(dumped) + line_end
        else:
            text = f"[{f',{line_end}'.join(dumped)}]"
            text = f'{{"data": {text}}}' if shape == 0 else text
    return text.encode()


def write(folder, kind, content, *, compressed):
    path = folder / f"some{kind}{'.gz' if compressed else ''}"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if compressed else content)
    return path


def of_kind(kind, one_line, whatever):
    """Only text without line ends fits a file of lines."""
    return one_line if kind == ".txt" else whatever


@given(st.data(), KIND, st.booleans(), st.booleans(), LINE_END, st.integers(0, 3))
@examples(max_examples=250)
def test_what_is_written_is_read(tmp_path, data, kind, compressed, mark, line_end, shape):
    sentence = of_kind(kind, ONE_LINE, WHATEVER) | ODD
    sentences = data.draw(st.lists(sentence, min_size=1, max_size=1 if kind == ".json" and shape == 2 else 6))
    content = as_bytes(kind, sentences, line_end, shape)
    mark = mark and kind != ".parquet"
    assume(mark or not content.startswith(b"\xef\xbb\xbf"))  # which would be taken for the mark
    path = write(tmp_path, kind, b"\xef\xbb\xbf" * mark + content, compressed=compressed)
    assert list(iter_sentences(path)) == sentences


def read_or_refused(read, path):
    """Sentences, or one line that names the file: nothing else may come of it."""
    try:
        sentences = list(read(path))
    except UserError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        assert all(isinstance(sentence, str) for sentence in sentences)
        for sentence in sentences:
            sentence.encode()


@given(st.binary(max_size=60), KIND, st.booleans())
@example(b'"\\ud800"', ".jsonl", False)
@example(b"[" * 5000, ".json", False)
@example(b"1" * 5000, ".jsonl", False)
@examples(max_examples=250)
def test_any_bytes_are_read_or_refused(tmp_path, content, kind, gzipped):
    read_or_refused(iter_sentences, write(tmp_path, kind, content, compressed=gzipped))


@st.composite
def damaged_files(draw):
    """A good file of which a part is cut out, overwritten or repeated; (kind, whether gzipped, bytes)."""
    kind, compressed = draw(KIND), draw(st.booleans())
    content = as_bytes(kind, ["the cat sat", 'a, "dog"', "ü"], shape=draw(st.integers(0, 3)))
    content = gzip.compress(content, 1, mtime=0) if compressed else content
    start = draw(st.integers(0, len(content) - 1))
    length = draw(st.integers(0, min(20, len(content) - start)))
    between = draw(
        st.binary(max_size=4) | st.sampled_from([b"\0", b"\n", b'"', b"\xff\xfe", b"{", b"]", b",", b"\xed\xa0\x80"])
    )
    return kind, compressed, content[:start] + between + content[start + length :]


@given(damaged_files())
@examples(max_examples=400)
def test_damaged_files_are_read_or_refused(tmp_path, file):
    kind, compressed, content = file
    path = tmp_path / f"some{kind}{'.gz' if compressed else ''}"
    path.write_bytes(content)
    read_or_refused(iter_sentences, path)
