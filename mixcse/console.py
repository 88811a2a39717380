"""How the command-line programs speak: short lines on stderr, one line for an error."""

import argparse
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn


class UserError(Exception):
    """Something the user can put right: the message says what is wrong, where, and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind if it has none."""
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


def run_cli(main: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Runs a program; its exit code is 0, 2 for a `UserError`, 130 after Ctrl-C, 143 after SIGTERM."""
    _terminate_as_interrupts_do()
    try:
        main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        if os.environ.get("RANK", "0") != "0":
            time.sleep(3)  # what all processes find, the first one says, and torchrun stops the others
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt as stop:
        say(f"\n{stop.args[0] if stop.args else 'interrupted'}")
        return 143 if isinstance(stop, Terminated) else 130
    except BrokenPipeError:  # the reader of our output (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(f"error: {error.filename or 'the output'} cannot be written ({error.strerror}); make room\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else what is left in stdout fails once more
        return 2
    return 0


def _terminate_as_interrupts_do() -> None:
    """SIGTERM is raised as an exception, so that what is half written is removed on the way out."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(*_: Any) -> NoReturn:
    raise Terminated


def quiet_libraries() -> None:
    """Keeps transformers, datasets, huggingface_hub and matplotlib from printing in a normal run."""
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
