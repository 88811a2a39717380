"""Errors that end a program with one line, and the signal that ends it from outside."""


class UserError(Exception):
    """Something the user can put right: the message says what is wrong, where, and what to do."""


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    if isinstance(error, RecursionError):
        return "nested too deeply"  # the wording differs between Python versions
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the memory of the machine or of a GPU ran out."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, without importing it


def one_line(error: BaseException) -> str | None:
    """Return the line that reports an OSError or an out-of-memory error; None for every other error."""
    if is_out_of_memory(error):
        return "out of memory; give a smaller --batch_size or --max_seq_length"
    if isinstance(error, OSError):
        text = error.strerror or first_line(error)
        return f"{error.filename}: {text}" if error.filename else text
    return None
