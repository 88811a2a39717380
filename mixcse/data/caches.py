"""The `datasets` library: where it keeps its tables, if that can be written to, and what it prints."""

import sys
import tempfile
from pathlib import Path

import datasets
from datasets import config

from mixcse.base.console import warn
from mixcse.base.errors import UserError, first_line

_temporary: list[tempfile.TemporaryDirectory] = []  # removed when the process ends


def use_writable_cache() -> None:
    """Tries the cache of `datasets`; where nothing can be written, this process has a temporary one from now on.

    Raises:
        UserError: there is no place for a temporary one either.
    """
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # every error is raised as well
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        folder = Path(config.HF_DATASETS_CACHE)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        reason = error.strerror or first_line(error)
    instead = f"name a folder that can be, with HF_DATASETS_CACHE=DIR ({reason})"
    try:
        _temporary.append(tempfile.TemporaryDirectory(prefix="mixcse-datasets-"))
    except OSError as error:
        raise UserError(f"neither {folder} nor a temporary folder can be written to: {instead}") from error
    warn(f"{folder} cannot be written to, so what is tokenised will not be kept: {instead}")
    folder = Path(_temporary[-1].name)
    config.HF_DATASETS_CACHE = folder
    # They were derived from it when the library was imported.
    config.DOWNLOADED_DATASETS_PATH = folder / config.DOWNLOADED_DATASETS_DIR
    config.EXTRACTED_DATASETS_PATH = config.DOWNLOADED_DATASETS_PATH / config.EXTRACTED_DATASETS_DIR
