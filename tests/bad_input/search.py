"""`mixcse search`."""

import os

from bad_input.case import Case, file

MODEL = ("search", "--model", "{model}")
GOOD = (*MODEL, "--corpus", "{folder}/good.txt")

CASES = [
    Case("a corpus that is not there", (*MODEL, "--corpus", "{folder}/none.txt", "a cat"), ("none.txt: no such file",)),
    Case("top_k 0", (*GOOD, "--top_k", "0", "a cat"), ("--top_k must be at least 1, not 0",)),
    Case("top_k no whole number", (*GOOD, "--top_k", "2.5", "a cat"), ("--top_k", "invalid int value: '2.5'")),
    Case("threshold above 1", (*GOOD, "--threshold", "80", "a cat"), ("--threshold must lie in -1 to 1, not 80.0",)),
    Case("threshold NaN", (*GOOD, "--threshold", "nan", "a cat"), ("--threshold must lie in -1 to 1, not nan",)),
    Case("threshold no number", (*GOOD, "--threshold", "high", "a cat"), ("--threshold", "invalid float", "'high'")),
    Case("nothing to search", (*MODEL, "a cat"), ("give --corpus FILE or --index DIR",)),
    Case("corpus and index", (*GOOD, "--index", "i", "a cat"), ("give --corpus FILE or --index DIR",)),
    Case("index and save_index", (*MODEL, "--index", "i", "--save_index", "j", "a cat"), ("go with --corpus",)),
    Case("index and text_column", (*MODEL, "--index", "i", "--text_column", "a", "x"), ("go with --corpus",)),
    Case("corpus and queries both from stdin", (*MODEL, "--corpus", "-"), ("--corpus - takes standard input",)),
    Case("an empty name of a corpus", (*MODEL, "--corpus", "", "a cat"), ("--corpus is empty; name a file",)),
    Case("an empty name of an index", (*MODEL, "--index", "", "a cat"), ("--index is empty; name a folder",)),
    Case("an empty name to save to", (*GOOD, "--save_index", "", "a cat"), ("--save_index is empty; name a folder",)),
    Case("an empty query", (*GOOD, "a cat", " "), ("a query on the command line is empty",)),
    Case("a query that is no UTF-8", (*GOOD, "caf\udce9"), ("a query on the command line is not UTF-8",)),
    Case("no queries on stdin", GOOD, ("standard input: no queries in it",)),
    Case("only blank queries on stdin", GOOD, ("standard input: no queries in it",), stdin=b"\n  \n\r\n"),
    Case("queries in latin-1 on stdin", GOOD, ("stdin", "line 2 is not UTF-8"), stdin=b"a cat\ncaf\xe9\n"),
    Case("a corpus of blank lines", (*MODEL, "--corpus", "b.txt", "x"), ("no sentences",), file("b.txt", "\n \n")),
    Case("an empty corpus on stdin", (*MODEL, "--corpus", "-", "a cat"), ("--corpus -: no sentences in it",)),
    Case(
        "a corpus without rows",
        (*MODEL, "--corpus", "head.csv", "a cat"),
        ("--corpus head.csv: no sentences in it",),
        file("head.csv", "text\n"),
    ),
    Case("a corpus that is a folder", (*MODEL, "--corpus", "{folder}", "a cat"), ("{folder}: not a file",)),
    Case(
        "a column that the corpus lacks",
        (*MODEL, "--corpus", "good.csv", "--text_column", "body", "a cat"),
        ("good.csv, line 1: no column 'body'; there are sentence1, sentence2, score",),
    ),
    Case(
        "a column of a corpus without columns",
        (*GOOD, "--text_column", "body", "a cat"),
        ("a .txt file has no columns, so no 'body'",),
    ),
    Case("save_index that is a file", (*GOOD, "--save_index", "good.csv", "a cat"), ("good.csv is a file, no folder",)),
    Case(
        "save_index below a file",
        (*GOOD, "--save_index", "good.csv/a/b", "a cat"),
        ("--save_index good.csv/a/b: ", "good.csv", "no folder"),
    ),
    Case(
        "save_index where nobody may write",
        (*GOOD, "--save_index", "locked/index", "a cat"),
        ("locked/index: ", "written"),
        lambda place: os.mkdir(place / "locked", 0o500),
        unprivileged=True,
    ),
    Case("an index that is not there", (*MODEL, "--index", "{folder}/none", "a cat"), ("none: no index in it",)),
    Case("an index that is a file", (*MODEL, "--index", "good.txt", "a cat"), ("good.txt: no index in it",)),
    Case("too short a length", (*GOOD, "--max_seq_length", "2", "a cat"), ("max_seq_length 2 is outside 3 to 64",)),
    Case("batch_size below 1", (*GOOD, "--batch_size", "-3", "a cat"), ("--batch_size must be at least 1, not -3",)),
    Case("an unknown device", (*GOOD, "--device", "gpu", "a cat"), ("device 'gpu' cannot be used",)),
    Case("no model", ("search", "--corpus", "good.txt", "a cat"), ("--model",)),
    Case("a shortened option", (*GOOD, "--top", "3", "a cat"), ("unknown option --top; did you mean --top_k?",)),
]
