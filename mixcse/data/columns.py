"""Which columns of a table hold its sentences: what their names say, in any order, and what they leave open."""

import re
from collections.abc import Sequence

from mixcse.base.errors import UserError

SHOWN = 20  # names of columns in a message
NAME_THEM = "--text_column (of pairs to train on: --sentence1_column, --sentence2_column, --hard_negative_column)"
# Names of columns, in small letters: what they hold whatever their order, and those that are never text.
ANCHOR = ("anchor", "query", "sent0", "sentence1", "text", "sentence")
POSITIVE = ("positive", "pos", "sent1", "sentence2")
HARD_NEGATIVE = ("negative", "hard_neg", "hard_negative", "sentence3")
ROLES = (ANCHOR, POSITIVE, HARD_NEGATIVE)
NO_TEXT = re.compile(r"|(.*[_ ])?(label|score|index|id|idx)|[dgpqu]?u?id|docid|unnamed: \d+")  # the last by pandas
A_SENTENCE = re.compile(r".*[.!?\u3002\uff01\uff1f]\s*|(\S+\s+){4,}.*|.{40,}", re.DOTALL)  # no column is called so


def role_of(name: str) -> str:
    """A column's name as `ANCHOR` and its kin have it."""
    return name.strip().lower()


def is_no_text(name: str) -> bool:
    """Whether a column's name says that it holds no sentences."""
    return NO_TEXT.fullmatch(role_of(name)) is not None


def is_role(name: str) -> bool:
    """Whether it says what the column holds."""
    return any(role_of(name) in names for names in ROLES)


def choose_among(
    there: Sequence[str], text: Sequence[str], wanted: Sequence[str], where: str, *, alone: bool = False
) -> list[str]:
    """The columns that hold the sentences: those wanted, those that say so, else all, if they are one to three.

    Args:
        there: all columns of the table.
        text: those of text.
        where: what messages call the table.
        alone: sentences by themselves are looked for, not pairs.

    Raises:
        UserError: there is no such column, or the table does not say by itself which ones they are.
    """
    chosen = list(wanted or _by_name(there, text, alone=alone) or ())
    plain = not any(is_role(name) or is_no_text(name) for name in there)
    if not chosen and len(there) <= 3 and list(text) == list(there) and plain:
        chosen = list(there)
        if row := next((name for name in there if A_SENTENCE.fullmatch(name)), None):
            what = f"{row[:40]!r} reads like a sentence, not like a column's name"
            raise UserError(f"{where}: {what}; begin with a line of names, or name the column: {NAME_THEM}")
    for name in chosen:
        if name not in there:
            raise UserError(f"{where}: no column {name!r}; there are {_some(there)}")
        if there.count(name) > 1:
            raise UserError(f"{where}: {there.count(name)} columns are called {name!r}; rename one")
        if name not in text:
            raise UserError(f"{where}: column {name!r} holds no text")
    if chosen:
        return chosen
    other = [name for name in there if name not in text]
    without = f", of which {_some(other)} hold no text" if other else ""
    what = f"{len(there)} columns ({_some(there)}){without}"
    raise UserError(f"{where}: {what}; name those with the sentences: {NAME_THEM}")


def _by_name(there: Sequence[str], text: Sequence[str], *, alone: bool) -> list[str] | None:
    """Anchor, positive and hard negative, where names say so; None where they do not, or leave it open.

    A single anchor beside other columns of text may be meant as the first of a pair.
    """
    places = [[name for name in there if role_of(name) in known] for known in ROLES]
    if any(len(names) > 1 for names in places) or not places[0]:
        return None
    if alone:
        return places[0]
    chosen = [names[0] for names in places if names]
    others = [name for name in text if name not in chosen and not is_no_text(name)]
    return None if len(chosen) == 1 and others or places[2] and not places[1] else chosen


def roles_of(columns: Sequence[str]) -> str:
    """What was taken for what, for people."""
    roles = ("anchor", "positive", "hard negative")
    return ", ".join(f"{role} {column!r}" for role, column in zip(roles, columns, strict=False))


def _some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
