"""Run a program: errors that have one line and exit code 2, and a clean end after Ctrl-C, SIGTERM or a closed pipe."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from mixcse.base.console import say
from mixcse.base.errors import Terminated, UserError, one_line


def run_cli(main: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Run a program and return its exit code.

    The code is 0, 2 after an error with one line (`UserError`, `OSError`, out of memory), 130
    after Ctrl-C, 143 after SIGTERM, and 141 if the reader of the output has gone (`| head`).
    Every other error is raised: its traceback is worth more than a line.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for a terminal without UTF-8; stderr does so already
    try:
        main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as stop:
        say(f"\n{stop.args[0] if stop.args else 'interrupted'}")
        return 143 if isinstance(stop, Terminated) else 130
    except BrokenPipeError:
        _discard_output()
        return 141
    except Exception as error:  # the kinds with one line; every other one is raised again
        line = str(error) if isinstance(error, UserError) else one_line(error)
        if line is None:
            raise
        _report(line)
        return 2
    return 0


def _report(line: str) -> None:
    """Write one line; under torchrun the first process writes it, the others wait to be stopped."""
    if os.environ.get("RANK", "0") != "0":
        time.sleep(3)
        return
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)  # names may hold line ends
    sys.stderr.write(f"error: {escaped}\n")
    _discard_output()


def _discard_output() -> None:
    """Drop output that cannot be written: Python would fail on it once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
