"""`mixcse search`."""

from bad_input.case import Case

CASES = [
    Case(
        "a corpus that is not there",
        ("search", "--model", "{model}", "--corpus", "{folder}/none.txt", "a cat"),
        ("none.txt: no such file",),
    ),
    Case(
        "top_k 0",
        ("search", "--model", "{model}", "--corpus", "{folder}/good.txt", "--top_k", "0", "a cat"),
        ("--top_k must be at least 1, not 0",),
    ),
]
