"""`mixcse search`."""

from bad_input.case import Case, file

MODEL = ("search", "--model", "{model}")
GOOD = (*MODEL, "--corpus", "{folder}/good.txt")

CASES = [
    Case("top_k 0", (*GOOD, "--top_k", "0", "a cat"), ("--top_k must be at least 1, not 0",)),
    Case("threshold above 1", (*GOOD, "--threshold", "80", "a cat"), ("--threshold must lie in -1 to 1, not 80.0",)),
    Case("nothing to search", (*MODEL, "a cat"), ("give --corpus FILE or --index DIR",)),
    Case("corpus and index", (*GOOD, "--index", "i", "a cat"), ("give --corpus FILE or --index DIR",)),
    Case("index and save_index", (*MODEL, "--index", "i", "--save_index", "j", "a cat"), ("go with --corpus",)),
    Case("corpus and queries both from stdin", (*MODEL, "--corpus", "-"), ("--corpus - takes standard input",)),
    Case("an empty name", (*GOOD, "--save_index", "", "a cat"), ("--save_index is empty; name a folder",)),
    Case("an empty query", (*GOOD, "a cat", " "), ("a query on the command line is empty",)),
    Case("no queries on stdin", GOOD, ("standard input: no queries in it",)),
    Case("queries in latin-1 on stdin", GOOD, ("stdin", "line 2 is not UTF-8"), stdin=b"a cat\ncaf\xe9\n"),
    Case(
        "a corpus without rows",
        (*MODEL, "--corpus", "head.csv", "a cat"),
        ("--corpus head.csv: no sentences in it",),
        file("head.csv", "text\n"),
    ),
    Case("save_index that is a file", (*GOOD, "--save_index", "good.csv", "a cat"), ("good.csv is a file, no folder",)),
    Case("an index that is not there", (*MODEL, "--index", "none", "a cat"), ("none: not a usable index", "No such")),
]
