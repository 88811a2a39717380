"""Options as fields of dataclasses: each holds its help, its range and what it needs; here they are checked."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mixcse.base.console import warn
from mixcse.base.errors import UserError

CHECKED = ("range", "needs", "may_be_empty")  # in a field's metadata, for us; the rest is for argparse


class Range(NamedTuple):
    """Finite numbers that an option can have, and the words that say so after "must"."""

    words: str
    holds: Callable[[float], bool]


def at_least(least: float) -> Range:
    """From `least` on."""
    return Range(f"be at least {least}", lambda value: value >= least)


def above(least: float) -> Range:
    """Any larger one."""
    return Range(f"be above {least}", lambda value: value > least)


def within(least: float, most: float) -> Range:
    """From `least` to `most`, both included."""
    return Range(f"lie in {least} to {most}", lambda value: least <= value <= most)


FINITE = Range("be a finite number", lambda value: True)
BELOW_ONE = Range("be at least 0 and below 1", lambda value: 0 <= value < 1)


def option(
    default: Any,
    help: str,
    *,
    range: Range | None = None,
    needs: tuple[str, ...] = (),
    may_be_empty: bool = False,
    **shown: Any,
) -> Any:
    """A field of a dataclass of options.

    Args:
        range: of its values, where they are numbers.
        needs: the option without which it does nothing, and the values that it does something with; none: any.
        may_be_empty: whether an empty text means something.
        shown: what else argparse is to know of it, such as `metavar`, `choices` and `aliases`.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "range": range, "needs": needs, "may_be_empty": may_be_empty, **shown}
    )


def check_range(name: str, value: float | None, range: Range) -> None:
    """Raises UserError unless an option that is given is finite and in its range."""
    if value is None:
        return
    finite = abs(value) < math.inf
    if not finite or not range.holds(value):
        raise UserError(f"--{name} must {(range if finite else FINITE).words}, not {value}")


def check_fields(options: Any, ranges: Mapping[str, Range] | None = None) -> None:
    """Raises UserError for a number out of its range, and for an empty name.

    Args:
        options: a dataclass.
        ranges: of its fields that have none of their own.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value in ("", [""]) and field.default != value and not field.metadata.get("may_be_empty"):
            raise UserError(f"--{field.name} is empty; give it a value, or leave it out")
        if range := field.metadata.get("range") or (ranges or {}).get(field.name):
            check_range(field.name, value, range)


def defaults(*groups: type) -> dict[str, Any]:
    """Return the defaults of all options of these dataclasses."""
    return {field.name: field.default for group in groups for field in dataclasses.fields(group)}


def current_names(options: Mapping[str, Any], *groups: type) -> dict[str, Any]:
    """Return options under their current names: the former names of an option are among the aliases of its field."""
    fields = [field for group in groups for field in dataclasses.fields(group)]
    aliases = {alias.removeprefix("--"): field.name for field in fields for alias in field.metadata.get("aliases", ())}
    return {aliases.get(name, name): value for name, value in options.items()}


def warn_of_idle(*groups: Any) -> None:
    """Warns of the options, of all the dataclasses, that were given and do nothing for want of another one."""
    values = {name: value for group in groups for name, value in vars(group).items()}
    for field in (field for group in groups for field in dataclasses.fields(group)):
        if not field.metadata.get("needs") or values[field.name] == field.default:
            continue
        needed, *wanted = field.metadata["needs"]
        if values[needed] not in wanted if wanted else values[needed] in (None, False):
            warn(f"--{field.name} does nothing without --{needed} {' or '.join(wanted)}".rstrip())
