"""What a user can put right, and a program that was told to end."""


class UserError(Exception):
    """Something the user can put right: the message says what is wrong, where, and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind if it has none."""
    if isinstance(error, RecursionError):
        return "nested too deeply"  # each Python says it in its own way, of its stack
    return (str(error).strip() or type(error).__name__).splitlines()[0]
