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
from mixcse.data.corpus import Corpus
from mixcse.data.reading import expand_files, iter_sentences
from mixcse.options import DataArguments

ROWS = [
    ("the cat", "a cat"),
    ("", "empty"),
    ('"one", two', "d\u00f6g"),
    ("the\u2028mat", "NA"),
    ("007", "1e3"),
    ("null", "nan"),
]
NAMES = ("anchor", "positive")


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
        delimiter, quoting = (",", csv.QUOTE_MINIMAL) if plain.suffix == ".csv" else ("\t", csv.QUOTE_ALL)
        csv.writer(text, delimiter=delimiter, quoting=quoting).writerows([NAMES, *ROWS])
        write(plain, "\ufeff" + text.getvalue())
    elif plain.suffix == ".json":
        write(plain, json.dumps({"data": records}, indent=1))
    elif plain.suffix == ".jsonl":
        write(plain, "\n".join(map(json.dumps, records)))
    else:
        pq.write_table(pa.Table.from_pylist(records), plain)
    return write(path, gzip.compress(plain.read_bytes())) if path != plain else path


def read(*files, **options):
    return Corpus.open(DataArguments([str(file) for file in files], **options)).text()


@pytest.mark.parametrize("compressed", ["", ".gz"])
@pytest.mark.parametrize("kind", [".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_kind_is_read_alike_for_training_and_as_a_stream(tmp_path, kind, compressed):
    path = write_rows(tmp_path / f"rows{kind}{compressed}")
    text = read(path)
    places = 1 if kind == ".txt" else 2
    assert [tuple(row.values()) for row in text] == [row[:places] for row in ROWS]
    assert list(iter_sentences(path)) == [first for first, _ in ROWS]
    if kind != ".txt":
        assert list(iter_sentences(path, "positive")) == [second for _, second in ROWS]
        assert read(path, text_column="positive")["sentence1"][:] == [second for _, second in ROWS]


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


def test_the_bad_one_of_several_files_is_named(tmp_path):
    good = write(tmp_path / "good.csv", "query,answer\nx,y\n")
    others = {
        "late.csv": ("query,answer\nx,y\n1,2,3\n", "line 3: 3 columns under a header of 2"),
        "names.csv": ("answer,query\nx,y\n", "its columns are not those of"),
        "kind.txt": ("x\n", "are of different kinds"),
    }
    for name, (content, says) in others.items():
        with pytest.raises(UserError, match=re.escape(f"--train_file {tmp_path / name}") + ".*" + says):
            read(good, write(tmp_path / name, content))


FIELD = {  # of ../shared/field, and files like them: content, line of roles, last row
    "label_text.csv": ("label,text\n1,The bus.\n0,I like tea.\n", "anchor 'text'; not used: label", ["I like tea."]),
    "pair_label.csv": (
        "sentence1,sentence2,label\na b,c d,1\ne,f,0\n",
        "anchor 'sentence1', positive 'sentence2'; not used: label; rows of every label count as positives",
        ["e", "f"],
    ),
    "sorted_keys.jsonl": (
        '{"anchor": "a", "negative": "n", "positive": "p"}\n{"anchor": "b", "negative": "m", "positive": "q"}\n',
        "anchor 'anchor', positive 'positive', hard negative 'negative'",
        ["b", "q", "m"],
    ),
    "unquoted_dev.tsv": (
        'index\tsentence1\tsentence2\tscore\n0\t" the grass\tgrass .\t1.2\n1\ta dog\tthe 5" nail\t0\n',
        "anchor 'sentence1', positive 'sentence2'; not used: index, score; rows of every label count as positives",
        ["a dog", 'the 5" nail'],
    ),
    "same_answer.csv": (
        "question,answer\nwhen,at nine\nhours,at nine\n",
        "anchor 'question', positive 'answer'",
        ["hours", "at nine"],
    ),
    "neg_only.jsonl": (
        '{"query": "a", "positive": "p", "negative_1": "n", "negative_2": "m"}\n',
        "anchor 'query', positive 'positive', hard negative 'negative_1', hard negative 'negative_2'",
        ["a", "p", "n", "m"],
    ),
    "lists.jsonl": (
        '{"query": "a", "pos": ["p", "x"], "neg": ["n", "m"]}\n{"query": "b", "pos": ["q"], "neg": ["k", "l", "j"]}\n',
        "anchor 'query', positive 'pos[0]', hard negative 'neg[0]', hard negative 'neg[1]'",
        ["b", "q", "k", "l"],
    ),
    "tevatron.jsonl": (
        '{"query": "a", "positive_passages": [{"docid": "1", "text": "p"}], "negative_passages": []}\n',
        "anchor 'query', positive 'positive_passages[0]'; not used: negative_passages",
        ["a", "p"],
    ),
    "snli.jsonl": (
        '{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n',
        "anchor 'sentence1', positive 'sentence2'; not used: gold_label; rows of every label count as positives",
        ["a", "b"],
    ),
    "order.csv": (
        "hard_neg,Sent1,sent0\nn,p,a\n",
        "anchor 'sent0', positive 'Sent1', hard negative 'hard_neg'",
        ["a", "p", "n"],
    ),
    "pandas.csv": (",text\n0,a b\n", "anchor 'text'", ["a b"]),
    "title.csv": ("title,text\na b,c d\n", "anchor 'text'; not used: title", ["c d"]),
    "no_names.csv": ("A cat sat.\nA dog ran.\n", "anchor 'A cat sat.'", ["A dog ran."]),  # the user sees the name
    "only_text.jsonl": ('{"id": 7, "body": "a"}\n', "anchor 'body'; not used: id", ["a"]),
    "numbers.csv": ("Sentence\n1984\n2001\n", "anchor 'Sentence'", ["2001"]),
}


@pytest.mark.parametrize("name", FIELD)
def test_columns_are_found_by_known_names_or_are_the_only_ones_of_text(tmp_path, name, capsys):
    content, roles, last = FIELD[name]
    path = write(tmp_path / name, content)
    assert list(read(path)[-1].values()) == last
    assert f"{path}: {roles}\n" in capsys.readouterr().err
    assert list(iter_sentences(path))[-1] == last[0]
    assert re.search(f"{re.escape(str(path))}: sentences are those of the column '\\w[^']*'\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "semicolon.csv",
            "id;satz\n1;Der Bus.\n",
            "a single column, 'id;satz', with ';' in it; is that the delimiter?",
        ),
        ("tab.csv", "sentence\tlabel\na b\t1\n", "with '\\t' in it"),
        ("label_only.csv", "rating,comment\n1,a b\n", "2 columns (rating, comment); name those"),
        ("no_names.tsv", "cats\twe like cats\na b\tc d\n", "line 1: 2 columns (cats, we like cats); name those"),
        ("index.tsv", "\ta\tb\n0\tx\ty\n", "3 columns (, a, b)"),
        ("twice.csv", "sentence1,text\na b,c d\n", "2 columns (sentence1, text)"),
        ("pair.csv", "query,body\na b,c d\n", "2 columns (query, body)"),
        ("negative.csv", "text,negative\na b,c d\n", "2 columns (text, negative)"),
        (
            "tevatron.jsonl",
            '{"query_id": "0", "query": "a", "positive_passages": []}\n',
            "column 'positive_passages' holds no text",
        ),
        ("numbers.jsonl", '{"id": 7, "n": 3}\n', "of which id, n hold no text"),
    ],
)
def test_what_names_leave_open_is_refused(tmp_path, name, content, says):
    path = write(tmp_path / name, content)
    with pytest.raises(UserError, match=re.escape(says)):
        read(path)
    if name in ("pair.csv", "negative.csv", "tevatron.jsonl"):  # of a pair, the anchor can be encoded alone
        assert list(iter_sentences(path))[-1][0] == "a"
        return
    with pytest.raises(UserError, match=re.escape(says)):
        list(iter_sentences(path))


def test_a_quotation_mark_in_a_tsv_is_text(tmp_path):
    """As in GLUE's files, whatever stands before or behind it: a reader that pairs marks joins the rows between."""
    rows = [["a", ""], ['"Hello" he said', 'and "so on"'], ['" one', 'two "'], ['"all"', '5"'], ['say ""', '"x""y"']]
    path = write(tmp_path / "said.tsv", "".join("\t".join(row) + "\n" for row in [["text", '"all"'], *rows]))
    assert list(iter_sentences(path)) == [first for first, _ in rows]
    assert list(iter_sentences(path, '"all"')) == [second for _, second in rows]


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_tsv_whose_header_is_quoted_is_read_with_quoting(tmp_path, quoting):
    rows = [["the cat", 'he said "hi"'], ["a\ttab", "two\nlines"], ['"all"', ""]]
    with open(tmp_path / "a.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t", quoting=quoting).writerows([["query", "answer"], *rows])
    assert [list(row.values()) for row in read(tmp_path / "a.tsv")] == rows
