"""Processes forked from this one, which has imported everything: they do all that others do, but for the imports."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def fork(call: Callable[[], int], log: Path, group: int | None = None) -> int:
    """Starts a process that makes a call, and ends with the exit code that it gives; its id.

    Args:
        log: what the process says on stdout and stderr is added to this file.
        group: the first process of its group; without it, it is the first one of a new group.
    """
    pid = os.fork()
    if pid:
        os.setpgid(pid, group or pid)  # here and there: whoever comes first
        return pid
    code = 1
    try:
        os.setpgid(0, group or 0)
        for number, (stream, file) in enumerate((("stdin", os.devnull), ("stdout", log), ("stderr", log))):
            os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), number)
            setattr(sys, stream, open(number, "w" if number else "r"))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        code = call()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
