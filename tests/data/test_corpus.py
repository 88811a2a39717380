"""Files of sentences: every kind, compressed or not, several at once; which columns; what is refused and where."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixcse.base.errors import UserError
from mixcse.data.reading import expand_files, iter_sentences
from mixcse.data.tokens import load_text
from mixcse.options import DataArguments

ROWS = [("the cat", "a cat"), ("", "empty"), ('"one", two', "d\u00f6g"), ("the\u2028mat", "NA"), ("007", "1e3")]
NAMES = ("first", "second")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_rows(path):
    """`ROWS` in the kind of file that the name asks for; of text, the first column alone."""
    plain = path.with_name(path.name.removesuffix(".gz"))
    records = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    if plain.suffix == ".txt":
        write(plain, "\n".join(first for first, _ in ROWS) + "\n")
    elif plain.suffix in (".csv", ".tsv"):
        text = io.StringIO()
        csv.writer(text, delimiter="," if plain.suffix == ".csv" else "\t").writerows([NAMES, *ROWS])
        write(plain, "\ufeff" + text.getvalue())
    elif plain.suffix == ".json":
        write(plain, json.dumps({"data": records}, indent=1))
    elif plain.suffix == ".jsonl":
        write(plain, "\n".join(map(json.dumps, records)))
    else:
        pq.write_table(pa.Table.from_pylist(records), plain)
    return write(path, gzip.compress(plain.read_bytes())) if path != plain else path


def read(*files, **options):
    return load_text(DataArguments([str(file) for file in files], **options))


@pytest.mark.parametrize("compressed", ["", ".gz"])
@pytest.mark.parametrize("kind", [".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_kind_is_read_alike_for_training_and_as_a_stream(tmp_path, kind, compressed):
    path = write_rows(tmp_path / f"rows{kind}{compressed}")
    text = read(path)
    places = 1 if kind == ".txt" else 2
    assert [tuple(row.values()) for row in text] == [row[:places] for row in ROWS]
    assert list(iter_sentences(path)) == [first for first, _ in ROWS]
    if kind != ".txt":
        assert list(iter_sentences(path, "second")) == [second for _, second in ROWS]
        assert read(path, text_column="second")["sentence1"][:] == [second for _, second in ROWS]


@pytest.mark.parametrize(
    "content", ['["a cat", "a dog"]', '[{"t": "a cat"},\n{"t": "a dog"}]', '{"t": "a cat"}\n{"t": "a dog"}\n']
)
def test_the_shapes_of_json(tmp_path, content):
    path = write(tmp_path / "a.json", content)
    assert list(iter_sentences(path)) == read(path)["sentence1"][:] == ["a cat", "a dog"]


def test_named_columns_stand_among_others_in_the_order_asked_for(tmp_path):
    table = write(tmp_path / "a.csv", "id,a,b,c,d\n1,one,two,three,x\n2,four,five,,y\n")
    options = {"sentence1_column": "c", "sentence2_column": "a"}
    assert read(table, **options)[0] == {"sentence1": "three", "sentence2": "one"}
    assert list(read(table, **options, hard_negative_column="b")[1].values()) == ["", "four", "five"]
    records = write(tmp_path / "a.jsonl", '{"id": 1, "t": "one"}\n{"id": 2, "t": null}\n')
    assert read(records, text_column="t")["sentence1"][:] == ["one", ""]


def test_several_files_and_globs_in_the_order_of_their_names(tmp_path):
    (tmp_path / "more").mkdir()
    for name, line in (("b.txt", "second"), ("a.txt", "first"), ("more/c.txt", "third")):
        write(tmp_path / name, line + "\n")
    write(tmp_path / "d.txt.gz", gzip.compress(b"fourth\n", mtime=0))
    assert read(tmp_path / "*.txt", tmp_path / "d.txt.gz")["sentence1"][:] == ["first", "second", "fourth"]
    assert [path.name for path in expand_files([tmp_path / "**" / "*.txt", tmp_path / "a.txt"])] == [
        "a.txt", "b.txt", "c.txt",
    ]  # fmt: skip
    odd = write(tmp_path / "what[1].txt", "a name, no glob\n")
    assert read(odd)["sentence1"][:] == ["a name, no glob"]


def test_stdin_and_the_import_stay_light(monkeypatch):
    code = """if True:
        import sys
        from mixcse.data.reading import iter_sentences
        print(list(iter_sentences("-")), sys.stdin.closed)
        print({"torch", "transformers", "datasets", "numpy", "pyarrow"} & set(sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], input="a cat\n\nd\u00f6g".encode(), capture_output=True, env=dict(os.environ)
    )
    assert done.stdout.decode().splitlines() == ["['a cat', '', 'd\u00f6g'] False", "set()"]


BAD = [
    ("a.txt", b"", "empty"),
    ("a.txt", b"fine\ncaf\xe9\n", "line 2 is not UTF-8"),
    ("a.txt.gz", gzip.compress(b"fine\ncaf\xe9\n", mtime=0), "line 2 is not UTF-8"),
    ("a.txt.gz", b"no gzip", "Not a gzipped file"),
    ("a.csv", b"a,b\nx,y\n\xff,y\n", "line 3 is not UTF-8"),
    ("a.csv", b"a,b,c,d\n1,2,3,4\n", "line 1: 4 columns (a, b, c, d); name those with the sentences: --text_column"),
    ("a.csv", b"a,b\n1,2,3\n", "line 2: 3 columns under a header of 2"),
    ("a.csv", b"a,a\n1,2\n", "line 1: 2 columns are called 'a'"),
    ("a.csv", b'a\n"' + b"y\n" * 100_000, "field larger than field limit (131072); a quotation mark"),
    ("a.json", b"{}\n", "0 columns"),
    ("a.json", b"[", "line 1 is not valid JSON"),
    ("a.json", b'["a", "b"] "c"', "record 1: expected an object or a string"),
    ("a.json", b'{"a": ["x"], "b": ["y"]}', "an object of more than one list"),
    ("a.json", b"[1, 2]", "record 1: expected an object or a string"),
    ("a.json", b'[{"a": "x"}, {"a": 3}]', "record 2: 'a' is int, not text"),
    ("a.jsonl", b'{"a": "x"}\n\n{"a": "y"\n', "line 3 is not valid JSON"),
    ("a.jsonl", b'{"a": "x"}\n{"b": "y"}\n', "line 2: no 'a'"),
    ("a.jsonl", b'{"a": "x", "id": 7}\n', "2 columns (a, id), of which id hold no text"),
    ("a.jsonl", b"\n", "no records"),
    ("a.parquet", b"PAR0", "arquet"),
    ("a.xml", b"<a>", "expected .txt, .csv, .tsv, .json, .jsonl or .parquet"),
]


@pytest.mark.parametrize(("name", "content", "says"), BAD)
def test_bad_files_are_named(tmp_path, name, content, says):
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"--train_file {path}")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError) as error:
        list(iter_sentences(path))
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)


def test_the_bad_one_of_several_files_is_named(tmp_path):
    good = write(tmp_path / "good.csv", "a,b\n1,2\n")
    others = {
        "late.csv": ("a,b\n1,2\n1,2,3\n", "line 3: 3 columns under a header of 2"),
        "names.csv": ("b,a\n1,2\n", "its columns are not those of"),
        "bytes.csv": (b"a,b\n1,2\n\xff,2\n", "line 3 is not UTF-8"),
        "kind.txt": ("x\n", "are of different kinds"),
    }
    for name, (content, says) in others.items():
        with pytest.raises(UserError) as error:
            read(good, write(tmp_path / name, content))
        assert str(error.value).startswith(f"--train_file {tmp_path / name}")
        assert says in str(error.value)


def test_columns_that_are_not_there(tmp_path):
    path = write(tmp_path / "a.csv", "a,b,b\n1,2,3\n")
    for options, says in (
        ({"text_column": "c"}, "line 1: no column 'c'; there are a, b, b"),
        ({"text_column": "b"}, "2 columns are called 'b'"),
    ):
        with pytest.raises(UserError, match=says):
            read(path, **options)
    with pytest.raises(UserError, match="has no columns"):
        read(write(tmp_path / "a.txt", "x\n"), text_column="a")
    table = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1], "t": ["x"]}), table)
    with pytest.raises(UserError, match="column 'n' holds no text"):
        read(table, text_column="n")


@pytest.mark.parametrize("first", ["", "a\tb\n", "a\t\n"], ids=["alone", "after a row", "after an empty field"])
def test_a_quotation_mark_within_a_field_is_text(tmp_path, first):
    """As in corpora that were joined by tabs without quoting; what else the file holds does not decide."""
    path = tmp_path / "said.tsv"
    path.write_text(f'x\ty\n{first}"Hello" he said\tand "so on"\n')
    rows = [list(row) for row in zip(iter_sentences(path, "x"), iter_sentences(path, "y"), strict=True)]
    assert rows[-1] == ["Hello he said", 'and "so on"']
    assert [list(row.values()) for row in read(path)] == rows
