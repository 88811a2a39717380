"""Numbers that an option can have."""

import math
from typing import Any

from mixcse.base.errors import UserError


def check_range(options: Any, name: str, least: float, *, open_below: bool = False) -> None:
    """Raises UserError unless an option that is given is finite and at least (or above) that."""
    value = getattr(options, name)
    if value is None:
        return
    if abs(value) < math.inf and (least < value if open_below else least <= value):
        return
    bound = f"{'above' if open_below else 'at least'} {least}" if abs(value) < math.inf else "a finite number"
    raise UserError(f"--{name} must be {bound}, not {value}")
