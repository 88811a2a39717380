"""Runs a program: an error is one line and exit code 2, Ctrl-C and SIGTERM end cleanly, streams may be closed."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from mixcse.base.console import say
from mixcse.base.errors import Terminated, UserError
from mixcse.base.faults import one_line

LONGEST = 850  # characters of an error's line


def run_cli(main: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Runs a program; its exit code is 0, 2 for a `UserError` or a fault of the machine.

    It is 130 after Ctrl-C, 143 after SIGTERM.
    """
    _listen_to_signals()
    _open_closed_streams()
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where it is not UTF-8; stderr is so by itself
    try:
        main(argv)
    except UserError as error:
        if os.environ.get("RANK", "0") != "0":
            try:  # what all processes find, the first one says, and torchrun stops the others
                time.sleep(3)
            except KeyboardInterrupt:
                return 2
        _say_error(str(error))
        return 2
    except KeyboardInterrupt as stop:
        say(f"\n{stop.args[0] if stop.args else 'interrupted'}")
        return 143 if isinstance(stop, Terminated) else 130
    except BrokenPipeError:  # the reader of our output (`| head`) has gone
        _drop_output()
        return 141
    except Exception as error:  # each library has its own for a full disk; what is no fault of the machine goes on
        line = one_line(error)
        if line is None:
            raise
        _say_error(line)
        _drop_output()
        return 2
    return 0


def _say_error(message: str) -> None:
    """One line, also where a name or value in it is long or has line ends and other control characters."""
    if len(message) > LONGEST:
        message = f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
    with suppress(OSError):  # stderr's disk is full; the exit code says that there was an error
        sys.stderr.write(f"error: {line}\n")


def _open_closed_streams() -> None:
    """Makes closed streams (`<&-`, `>&-`) empty ones, whose numbers the next files that are opened would get."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            setattr(sys, name, open(number, "r" if name == "stdin" else "w"))


def _drop_output() -> None:
    """Lets go of what stdout still holds and cannot write: Python would fail on it once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _listen_to_signals() -> None:
    """SIGTERM is raised as Ctrl-C is, so that what is half written is removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            # Libraries catch what is raised while they are imported, and go on with a module that is half there.
            with suppress(OSError):
                say("\ninterrupted")
            os._exit(128 + number)
        frame = frame.f_back
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
