"""Which columns of a table hold its sentences: named by options, with known names, or the only one of text."""

import re
from collections.abc import Sequence
from itertools import chain, repeat

from mixcse.base.errors import UserError

SHOWN = 20  # names of columns in a message
OPTIONS = "--text_column (of pairs to train on: --sentence1_column, --sentence2_column, --hard_negative_column)"
ALONE = ("text", "sentence")  # names of anchors that need no positive
ROLES = {  # known names of columns, in small letters
    "anchor": (*ALONE, "anchor", "query", "question", "sent0", "sentence1"),
    "positive": ("positive", "pos", "answer", "sent1", "sentence2", "positives", "positive_passages"),
    "hard negative": ("negative", "neg", "hard_neg", "hard_negative", "sentence3", "negatives", "negative_passages"),
}
ELEMENT = re.compile(r"(.+)\[(\d+)\]$")  # a column of JSON's that is an element of a list
NUMBER = re.compile(r"_?\d+$")  # behind the name of one of several hard negatives
LABELS = ("label", "labels", "gold_label", "score", "quality")


def choose_among(
    there: Sequence[str], text: Sequence[str], wanted: Sequence[str], where: str, *, alone: bool = False
) -> list[str]:
    """Return the columns of anchors, positives and hard negatives, or of the first one or two of these roles.

    They are those wanted, else those with known names, else the only column of text.

    Args:
        there: all columns of the table.
        text: those of text.
        where: what messages call the table.
        alone: look for single sentences, not for pairs.

    Raises:
        UserError: there is no such column, or no rule says which columns hold the sentences.
    """
    single = [name for name in text if len(text) == 1 or not ELEMENT.fullmatch(name)]
    chosen = list(wanted) or _known(there, text, alone=alone) or (single if len(single) == 1 else [])
    for name in chosen:
        if name not in there:
            raise UserError(f"{where}: no column {name!r}; there are {_some(there)}")
        if there.count(name) > 1:
            raise UserError(f"{where}: {there.count(name)} columns are called {name!r}; rename one")
        if name not in text:
            raise UserError(f"{where}: column {name!r} holds no text")
    if not chosen:
        readable = set(text)  # a table may have 50,000 columns
        other = [name for name in there if name not in readable]
        without = f", of which {_some(other)} hold no text" if other else ""
        what = f"{len(there)} columns ({_some(there)}){without}"
        raise UserError(f"{where}: {what}; name those with the sentences: {OPTIONS}")
    return chosen


def _known(there: Sequence[str], text: Sequence[str], *, alone: bool) -> list[str]:
    """Return the columns with known names; none if two have the same role, or a pair has only one side.

    Of a list of positives it is the first; hard negatives may be several, of one name with numbers, or none.
    """
    anchors, positives = ([name for name in there if _list_of(name) in ROLES[role]] for role in ("anchor", "positive"))
    negatives = [name for name in text if {_list_of(name), _stem(name)} & {*ROLES["hard negative"]}]
    if len({*map(_list_of, positives)}) == 1:
        positives = positives[:1]
    if len(anchors) != 1 or len(positives) > 1 or len({*map(_stem, negatives)}) > 1:
        return []
    if alone or (anchors[0].strip().lower() in ALONE and not positives and not negatives):
        return anchors
    return anchors + positives + negatives if positives else []


def _list_of(name: str) -> str:
    """Return a name in small letters, of an element of a list that of the list."""
    return ELEMENT.sub(r"\1", name.strip().lower())


def _stem(name: str) -> str:
    """Return a name without the number behind it: that of `negative_1`, or of an element of a list."""
    return NUMBER.sub("", _list_of(name))


def roles_of(columns: Sequence[str], there: Sequence[str]) -> str:
    """Return one line with the role of each column, and the names of the unused ones of those that are there."""
    names = chain(ROLES, repeat("hard negative"))
    roles = ", ".join(f"{role} {column!r}" for role, column in zip(names, columns, strict=False))
    unused = [name for name in there if name.strip() and name not in columns]
    labelled = len(columns) > 1 and any(name.strip().lower() in LABELS for name in unused)
    said = f"{roles}; not used: {_some(unused)}" if unused else roles
    return f"{said}; rows of every label count as positives" if labelled else said


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
