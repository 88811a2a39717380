"""How the programs speak: short lines on stderr, command lines that say what is wrong with them, quiet libraries."""

import argparse
import difflib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NoReturn

from mixcse.base.errors import UserError


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


@cache
def once(speak: Callable[[str], None], message: str) -> None:
    """Says or warns a single time, for a program that loads a model or reads a file several times."""
    speak(message)


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
        """The options; raises UserError for a word that none of them takes, with what may have been meant."""
        if not unknown:
            return options
        name = unknown[0].split("=")[0]
        if not name.startswith("-"):
            raise UserError(f"unexpected argument {unknown[0]!r}: options begin with -- (see --help)")
        known = self._option_string_actions
        close = difflib.get_close_matches(name.replace("-", "_").replace("__", "--", 1), known, n=1)
        raise UserError(f"unknown option {name}" + (f"; did you mean {close[0]}?" if close else " (see --help)"))


def quietly(function: Callable[..., Any], **arguments: Any) -> Any:
    """Calls it while what libraries write to the process's stderr, past Python's, goes nowhere.

    SIGTERM is then answered as before, whatever the libraries have set.
    """
    sys.stderr.flush()
    stderr, on_sigterm = os.dup(2), signal.getsignal(signal.SIGTERM)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        return function(**arguments)
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)
        os.dup2(stderr, 2)
        os.close(stderr)


def quiet_libraries() -> None:
    """Keeps transformers, huggingface_hub and matplotlib from printing in a normal run."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # else it warns when workers fork
    import huggingface_hub
    import transformers

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    huggingface_hub.logging.set_verbosity_error()
    downloads_shown = not huggingface_hub.utils.are_progress_bars_disabled() and sys.stderr.isatty()
    transformers.logging.disable_progress_bar()  # of weights that are loaded, and of downloads with them
    if downloads_shown:
        huggingface_hub.utils.enable_progress_bars()
