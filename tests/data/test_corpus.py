"""Files of sentences: every kind, compressed or not, several at once; which columns; what is refused and where."""

import csv
import gzip
import io
import json
import os
import re
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
    ("a.csv", b"a,b,c,d\nx,y,z,w\n", "line 1: 4 columns (a, b, c, d); name those with the sentences: --text_column"),
    ("a.csv", b"a,b\n1,2,3\n", "line 2: 3 columns under a header of 2"),
    ("a.csv", b"a,a\nx,y\n", "line 1: 2 columns are called 'a'"),
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
    good = write(tmp_path / "good.csv", "a,b\nx,y\n")
    others = {
        "late.csv": ("a,b\nx,y\n1,2,3\n", "line 3: 3 columns under a header of 2"),
        "names.csv": ("b,a\nx,y\n", "its columns are not those of"),
        "bytes.csv": (b"a,b\nx,y\n\xff,2\n", "line 3 is not UTF-8"),
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


FIELD = {  # of ../shared/field, and cases like them: content, columns, what is read
    "label_text.csv": ("label,text\n1,The bus was late.\n0,I like tea.\n", ["text"], ("I like tea.",)),
    "pair_label.csv": ("sentence1,sentence2,label\na b,c d,1\ne,f,0\n", ["sentence1", "sentence2"], ("e", "f")),
    "sorted.jsonl": (
        '{"anchor": "a", "negative": "n", "positive": "p"}\n{"anchor": "b", "negative": "m", "positive": "q"}\n',
        ["anchor", "positive", "negative"],
        ("b", "q", "m"),
    ),
    "unquoted.tsv": (
        'index\tgenre\tsentence1\tsentence2\tscore\n0\tx\t" the grass\tgrass .\t1.2\n1\ty\ta dog\tthe 5" nail\t0\n',
        ["sentence1", "sentence2"],
        ("a dog", 'the 5" nail'),
    ),
    "index.csv": (",sentence\n0,a b\n1,c d\n", ["sentence"], ("c d",)),
    "order.csv": ("hard_neg,sent1,sent0\nn,p,a\nm,q,b\n", ["sent0", "sent1", "hard_neg"], ("b", "q", "m")),
    "query.csv": ("pos,query,id\np,a,7\nq,b,8\n", ["query", "pos"], ("b", "q")),
    "pandas.csv": ("Unnamed: 0,sentence1,sentence2\nx,a,p\ny,b,q\n", ["sentence1", "sentence2"], ("b", "q")),
    "beir.jsonl": ('{"_id": "d1", "text": "a"}\n{"_id": "d2", "text": "b"}\n', ["text"], ("b",)),
    "snli.csv": ("gold_label,sentence2,sentence1,pairID\nx,p,a,1\ny,q,b,2\n", ["sentence1", "sentence2"], ("b", "q")),
    "numbers.csv": ("Sentence\n1984\n2001\n", ["Sentence"], ("2001",)),  # by its name they are sentences
}


@pytest.mark.parametrize("name", FIELD)
def test_columns_are_what_their_names_say_in_any_order(tmp_path, name, capsys):
    content, columns, last = FIELD[name]
    path = write(tmp_path / name, content)
    assert tuple(read(path)[-1].values()) == last
    assert list(iter_sentences(path))[-1] == last[0]
    roles = ("anchor", "positive", "hard negative")
    said = ", ".join(f"{role} {column!r}" for role, column in zip(roles, columns, strict=False))
    assert f"{path}: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("label_only.csv", "rating,comment\n1,a b\n2,c d\n", "2 columns (rating, comment), of which rating hold no"),
        (
            "semicolon.csv",
            "id;satz\n1;Der Bus.\n",
            "a single column, 'id;satz', with ';' in it; is that the delimiter?",
        ),
        ("tab.csv", "sentence\tlabel\na b\t1\n", "with '\\t' in it"),
        (
            "no_names.csv",
            "A cat sat.\nA dog ran.\n",
            "line 1: 'A cat sat.' reads like a sentence, not like a column's name",
        ),
        ("no_names.tsv", "cats\twe like cats and dogs\na b\tc d\n", "line 1: 'we like cats and dogs' reads like"),
        ("query_ids.csv", "qid,satz\nq1,a b\nq2,c d\n", "2 columns (qid, satz); name those"),
        ("title.csv", "text,title\na b,c d\n", "2 columns (text, title)"),
        ("twice.csv", "sentence1,text\na b,c d\n", "2 columns (sentence1, text)"),
        ("alone.csv", "sentence1,negative\na b,c d\n", "2 columns (sentence1, negative)"),
        ("index.tsv", "\ta\tb\n0\tx\ty\n", "3 columns (, a, b)"),
    ],
)
def test_what_names_leave_open_is_refused(tmp_path, name, content, says):
    path = write(tmp_path / name, content)
    with pytest.raises(UserError, match=re.escape(says)):
        read(path)
    if name in ("title.csv", "alone.csv"):  # whose anchor is one alone
        assert list(iter_sentences(path)) == ["a b"]
        return
    with pytest.raises(UserError, match=re.escape(says)):
        list(iter_sentences(path))


@pytest.mark.parametrize("first", ["", "a\tb\n", "a\t\n"], ids=["alone", "after a row", "after an empty field"])
def test_a_quotation_mark_in_a_tsv_is_text(tmp_path, first):
    """As in GLUE's files: whatever stands before or behind it."""
    path = tmp_path / "said.tsv"
    path.write_text(f'x\ty\n{first}"Hello" he said\tand "so on"\n" one\ttwo "\n"all"\t5"\n')
    rows = [list(row) for row in zip(iter_sentences(path, "x"), iter_sentences(path, "y"), strict=True)]
    assert rows[-3:] == [['"Hello" he said', 'and "so on"'], ['" one', 'two "'], ['"all"', '5"']]
    assert [list(row.values()) for row in read(path)] == rows


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_tsv_that_was_written_with_quoting_is_read_with_it(tmp_path, quoting):
    """By pandas, say, which quotes the fields that need it."""
    rows = [["the cat", 'he said "hi"'], ["a\ttab", "two\nlines"], ['"all"', ""]]
    with open(tmp_path / "a.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t", quoting=quoting).writerows([["x", "y"], *rows])
    assert [list(row.values()) for row in read(tmp_path / "a.tsv")] == rows


@pytest.mark.parametrize("kind", [".txt", ".csv", ".tsv", ".jsonl", ".parquet"])
def test_words_that_programs_take_for_nothing_are_sentences(tmp_path, kind):
    words = ["NA", "null", "None", "nan", "N/A", "true", "-", "1e5", "inf"]
    path = tmp_path / f"words{kind}"
    if kind == ".parquet":
        pq.write_table(pa.table({"sentence": words}), path)
    elif kind == ".jsonl":
        write(path, "".join(json.dumps({"sentence": word}) + "\n" for word in words))
    else:
        write(path, "\n".join(["sentence"] * (kind != ".txt") + words) + "\n")
    assert list(iter_sentences(path)) == read(path)["sentence1"][:] == words


def test_no_row_of_mrpc_is_swallowed_by_a_quotation_mark(tmp_path):
    """Its marks are lone ones, and a reader that pairs them joins the rows between."""
    rows = [["1", "7", "8", '" We won , " he said', "he said we won"], ["0", "9", "10", "no mark", 'one "mark']]
    header = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    path = write(tmp_path / "msr.tsv", "".join("\t".join(row) + "\n" for row in [header, *rows, *rows]))
    columns = {"sentence1_column": "#1 String", "sentence2_column": "#2 String"}
    assert [list(row.values()) for row in read(path, **columns)] == [row[3:] for row in rows] * 2
    with pytest.raises(UserError, match="of which Quality, #1 ID, #2 ID hold no text; name those"):
        read(path)
