"""Training files and validation files of `mixcse train`."""

import gzip
import os

import pyarrow as pa
import pyarrow.parquet as pq

from bad_input.case import TRAIN, Case, Place, file

LINES = b"the cat sat\na dog ran\n" * 40
SQUEEZED = gzip.compress(LINES)
LONG = "the cat " * 1_310_720  # 10 MB
NAME_THEM = "name those with the sentences: --text_column"
UTF8 = "convert the file, for instance with iconv"


def _training(name: str, what: str, content: str | bytes, *says: str, more: str = "") -> Case:
    words = (*TRAIN, "--train_file", f"{{folder}}/{name}", *more.split())
    return Case(f"{name}: {what}", words, (f"--train_file {{folder}}/{name}", *says), make=file(name, content))


def _made(name: str, what: str, make, *says: str) -> Case:
    words = (*TRAIN, "--train_file", f"{{folder}}/{name}")
    return Case(f"{name[-20:]}: {what}", words, says, make=make)


def _scored(name: str, what: str, content: str | bytes, *says: str) -> Case:
    words = (*TRAIN, "--validation_file", f"{{folder}}/{name}")
    return Case(
        f"validation {name}: {what}", words, ("--validation_file {folder}/" + name, *says), make=file(name, content)
    )


def _table(columns: dict[str, pa.Array | list]):
    return lambda place: pq.write_table(pa.table(columns), place / "a.parquet")


def _truncated_table(place: Place) -> None:
    pq.write_table(pa.table({"a": ["x", "y"] * 500}), place / "a.parquet")
    (place / "a.parquet").write_bytes((place / "a.parquet").read_bytes()[:-20])


def _two_kinds(place: Place) -> None:
    for name in ("many-1.txt", "many-2.csv"):
        (place / name).write_bytes(LINES)


TEXT = [
    _training("a.txt", "empty", "", "the file is empty"),
    _training("a.txt", "blank lines alone", "\n\n\n", "0 sentences and 3 blank rows"),
    _training("a.txt", "one sentence", "only this", "1 sentences", "at least 2"),
    _training("a.txt", "a byte order mark alone", b"\xef\xbb\xbf", "no rows in it"),
    _training("a.txt", "binary", bytes(range(128, 256)) * 4, "line 1 is not UTF-8", UTF8),
    _training("a.txt", "latin-1", "a cat\nun été\n".encode("latin-1"), "line 2 is not UTF-8", UTF8),
    _training("a.txt", "UTF-16", "the cat\na dog\n".encode("utf-16"), "line 1 is not UTF-8", UTF8),
    _training("a.txt", "a NUL byte further on", b"a cat\na dog\0\n", "line 2: a NUL character"),
    _training("a.txt", "a line of 10 MB at last", "a dog\na cat\n" + LONG, "line 3: more than 1,048,576 characters"),
    _training("a.docx", "an unknown kind", LINES, "expected .txt, .csv"),
    _training("a.txt", "columns of plain text", LINES, "a .txt file has no columns", more="--text_column a"),
]
COMPRESSED = [
    _training("a.txt.gz", "not compressed", LINES, "damaged, or not compressed"),
    _training("a.txt.gz", "cut short", SQUEEZED[:-12], "damaged, or not compressed", "get it again"),
    _training("a.txt.gz", "another checksum", SQUEEZED[:-8] + bytes(4) + SQUEEZED[-4:], "CRC check failed"),
    _training("a.csv.gz", "cut short", gzip.compress(b"text\nx\n" * 100)[:-10], "damaged, or not compressed"),
]
PAIRS = "query,answer\nx,y\n"
DELIMITED = [
    _training("a.csv", "a header alone", "sentence\n", "no rows in it"),
    _training("a.csv", "empty cells alone", "query,answer\n,\n,\n", "0 sentences and 2 blank rows"),
    _training("a.csv", "a row too short", PAIRS + "z\n", "line 3: 1 columns under a header of 2"),
    _training("a.csv", "latin-1", PAIRS.encode() + b"\xff,y\n", "line 3 is not UTF-8", UTF8),
    _training(
        "a.csv", "50,000 columns", ",".join(f"c{i}" for i in range(50_000)), "50000 columns (c0, c1", "19 and 49,980"
    ),
    _training("a.csv", "an open quotation mark", PAIRS + 'x,"y\nz,w\n', "line 3", "a quotation mark may lack"),
    _training("a.csv", "a NUL byte", PAIRS + "x\0,y\n", "line 3", "a NUL character"),
    _training("a.csv", "a cell of 10 MB", PAIRS + f"{LONG},y\n", "line 3", "field larger than field limit"),
    _training("a.csv", "no header", "\nx,y\n", "line 1: 0 columns", NAME_THEM),
    _training("a.csv", "two columns of one name", "text,a,a\n", "2 columns are called 'a'", more="--text_column a"),
    _training("a.csv", "no such column", PAIRS, "no column 'c'; there are query, answer", more="--text_column c"),
]
JSON = [
    _training("a.json", "broken", "[{", "line 1 is not valid JSON"),
    _training("a.json", "cut short", '["a", "b"', "line 1 is not valid JSON"),
    _training("a.json", "a number", "3", "record 1: expected an object or a string"),
    _training("a.json", "an empty list", "[]", "no records"),
    _training("a.json", "a number among sentences", '[{"a":"x"},{"a":2}]', "record 2: 'a' is int, not text"),
    _training("a.jsonl", "a record without the column", '{"text":"x"}\n\n{"b":"y"}', "line 3: no 'text'"),
    _training(
        "a.jsonl",
        "a key that comes later",
        '{"sent0":"x","sent1":"y"}\n{"sent0":"x","sent1":"y","hard_neg":"z"}',
        "line 1: no 'hard_neg'",
    ),
    _training("a.json", "two lists", '{"a":["x"],"b":["y"]}', "an object of more than one list"),
    _training("a.json", "half a character", '[{"a":"\\ud800"},{"a":"b"}]', "record 1", "half a character"),
    _training("a.json", "deeply nested", "[" * 100_000, "nested too deeply"),
    _training("a.jsonl", "a broken line", '{"a":"x"}\n{"a":\n', "line 2 is not valid JSON"),
    _training("a.jsonl", "a list on a line", '{"a":"x"}\n["y"]\n', "line 2: expected an object or a string"),
]
PARQUET = [
    _training("a.parquet", "another kind of file", b"PAR1 not", "arquet"),
    _made("a.parquet", "cut short", _truncated_table, "{folder}/a.parquet", "arquet"),
    _made("a.parquet", "numbers alone", _table({"n": [1, 2]}), "n hold no text", NAME_THEM),
    _made("a.parquet", "no rows", _table({"a": pa.array([], pa.string())}), "no rows in it"),
]
PLACES = [
    _made("none.txt", "not there", None, "--train_file {folder}/none.txt: no such file"),
    _made("a.txt", "a folder", lambda place: (place / "a.txt").mkdir(), "a.txt: not a file"),
    _made("a.txt", "a broken link", lambda place: os.symlink("none", place / "a.txt"), "a.txt: no such file"),
    _made("*.none", "a glob without a match", None, "*.none: no file matches"),
    _made("many-*", "a glob of two kinds", _two_kinds, "are of different kinds; train on files of one kind"),
]
STSB = "x\tx\t0\t1\t2.0\ta\tb\n"
HEADER = "sentence1,sentence2,score\n"
VALIDATION = [
    _scored("v.csv", "empty", "", "the file is empty"),
    _scored("v.csv", "one row", HEADER + "a,b,1\n", "at least two different scores"),
    _scored("v.csv", "a word for a score", HEADER + "a,b,1\nc,d,high\n", "line 3: the score 'high' is not a number"),
    _scored("v.csv", "a score that is NaN", HEADER + "a,b,1\nc,d,nan\n", "line 3: the score 'nan' is not a number"),
    _scored("v.csv", "a column missing", "sentence1,score\na,1\nb,2\n", "expected a header with sentence1, sentence2"),
    _scored("v.csv", "semicolons", "sentence1;sentence2;score\na;b;1\n", "with ';' in it; is that the delimiter?"),
    _scored("v.csv", "blank sentences", HEADER + "a,b,1\n,,2\n", "line 3: a sentence is missing"),
    _scored("v.csv", "latin-1", (HEADER + "é,b,1\n").encode("latin-1"), "line 2 is not UTF-8"),
    _scored("v.tsv", "STS-B's layout, a word", STSB * 2 + STSB.replace("2.0", "z"), "line 3: the score 'z'"),
    _scored("v.tsv", "STS-B's layout, cut short", STSB + "x\tx\n", "line 2: 2 tab-separated fields"),
    _scored("v.tsv", "other names", "a\tb\tc\td\te\tf\tg\n" + STSB * 2, "line 1: the score 'e'"),
    _scored("v.txt", "sentences alone", LINES, "line 1: 1 tab-separated fields, expected at least 7"),
    Case(
        "--eval_path: not there",
        (*TRAIN, "--eval_path", "{folder}/none.csv"),
        ("--validation_file {folder}/none.csv: no such file",),
    ),
    Case("validation file: a folder", (*TRAIN, "--validation_file", "{folder}"), ("{folder}: not a file",)),
]
CASES = [*TEXT, *COMPRESSED, *DELIMITED, *JSON, *PARQUET, *PLACES, *VALIDATION]
