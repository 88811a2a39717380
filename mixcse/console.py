"""How the command-line programs speak: short lines on stderr, one line for an error."""

import argparse
import difflib
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

from mixcse.faults import one_line

LONGEST = 850  # characters of an error's line


class UserError(Exception):
    """Something the user can put right: the message says what is wrong, where, and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind if it has none."""
    if isinstance(error, RecursionError):
        return "nested too deeply"  # each Python says it in its own way, of its stack
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def say(message: str) -> None:
    """One line (or several) of progress; results go to stdout, this goes to stderr.

    Of several processes that `torchrun` launched, the first one speaks.
    """
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def warn(message: str) -> None:
    """Something worth noticing that does not stop the work."""
    say(f"warning: {message}")


class WithExamples(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that shows defaults where there are any, and examples as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing = action.default in (None, False, [])
        return action.help if nothing else super()._get_help_string(action)


class OneLineParser(argparse.ArgumentParser):
    """Answers a wrong command line with a `UserError`, one line, instead of its usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse's; an option that there is not is answered with the one that is meant."""
        return self._all_known(*self.parse_known_args(args, namespace))

    def parse_intermixed_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As `parse_args`, for arguments before, between and after options."""
        return self._all_known(*self.parse_known_intermixed_args(args, namespace))

    def _all_known(self, options: Any, unknown: list[str]) -> Any:
        if unknown:
            raise UserError(unknown_option(unknown[0], self._option_string_actions))
        return options


def unknown_option(option: str, known: Iterable[str]) -> str:
    """What is wrong with a word of a command line that no option takes, and what may have been meant."""
    name = option.split("=")[0]
    if not name.startswith("-"):
        return f"unexpected argument {option!r}: options begin with -- (see --help)"
    close = difflib.get_close_matches(name.replace("-", "_").replace("__", "--", 1), known, n=1)
    return f"unknown option {name}" + (f"; did you mean {close[0]}?" if close else " (see --help)")


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
        _check_names(argv)
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
    """Keeps the numbers of closed streams (`<&-`, `>&-`) from the next files that are opened.

    What is written to them is lost, as was asked; who cannot do without them says so: `standard_input`,
    `standard_output`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")


def standard_input() -> TextIO:
    """`sys.stdin`; raises UserError if it is closed."""
    if sys.stdin is None:
        raise UserError("standard input is closed, and there is nothing else to read; name a file")
    return sys.stdin


def standard_output() -> TextIO:
    """`sys.stdout`; raises UserError if it is closed."""
    if getattr(sys.stdout, "name", None) == os.devnull:  # not so with `> /dev/null`, which is asked for
        raise UserError("standard output is closed, and there is nowhere else to write; name a file, or /dev/null")
    return sys.stdout


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


def _check_names(argv: list[str]) -> None:
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not all(map(str.isascii, argv)):  # libraries would look for other names
        raise UserError(f"names beyond ASCII cannot be taken in {encoding}: set PYTHONUTF8=1, or LC_ALL=C.UTF-8")


def check_interpreter() -> None:
    """Raises UserError where Python drops docstrings, which transformers reads when it is imported."""
    if sys.flags.optimize > 1:
        raise UserError("transformers cannot be imported by python -OO; use -O, or PYTHONOPTIMIZE=1, at most")


def quiet_libraries() -> None:
    """Keeps transformers, datasets, huggingface_hub and matplotlib from printing in a normal run."""
    check_interpreter()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # else it warns when workers fork
    import datasets
    import huggingface_hub
    import transformers

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    huggingface_hub.logging.set_verbosity_error()
    downloads_shown = not huggingface_hub.utils.are_progress_bars_disabled() and sys.stderr.isatty()
    transformers.logging.disable_progress_bar()  # of weights that are loaded, and of downloads with them
    if downloads_shown:
        huggingface_hub.utils.enable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # every error is raised as well
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
