"""Which columns of a table hold its sentences: named by options, with known names, or the only one of text."""

from collections.abc import Sequence

from mixcse.base.errors import UserError

SHOWN = 20  # names of columns in a message
OPTIONS = "--text_column (of pairs to train on: --sentence1_column, --sentence2_column, --hard_negative_column)"
ALONE = ("text", "sentence")  # names of anchors that need no positive
ROLES = {  # known names of columns, in small letters
    "anchor": (*ALONE, "anchor", "query", "question", "sent0", "sentence1"),
    "positive": ("positive", "pos", "answer", "sent1", "sentence2"),
    "hard negative": ("negative", "hard_neg", "hard_negative", "sentence3"),
}


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
    chosen = list(wanted) or _known(there, alone=alone) or (list(text) if len(text) == 1 else [])
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


def _known(there: Sequence[str], *, alone: bool) -> list[str]:
    """Return the columns with known names; none if two have the same role, or a pair has only one side."""
    found = [[name for name in there if name.strip().lower() in names] for names in ROLES.values()]
    anchors, positives, negatives = found
    if not anchors or any(len(names) > 1 for names in found):
        return []
    if alone or (anchors[0].strip().lower() in ALONE and not positives and not negatives):
        return anchors
    return anchors + positives + negatives if positives else []


def roles_of(columns: Sequence[str], there: Sequence[str]) -> str:
    """Return one line with the role of each column, and the names of the unused ones of those that are there."""
    roles = ", ".join(f"{role} {column!r}" for role, column in zip(ROLES, columns, strict=False))
    unused = [name for name in there if name.strip() and name not in columns]
    return f"{roles}; not used: {_some(unused)}" if unused else roles


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
