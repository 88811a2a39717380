"""What a benchmark ran on, and how much memory it took."""

import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("torch", "transformers", "sentence-transformers")
INTERVAL = 0.02  # seconds between looks at the process' memory


def machine(threads: int | None = None) -> str:
    """Processor or GPU, Python and library versions, in a line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return f"{device}, {threads or torch.get_num_threads()} threads; Python {platform.python_version()}, {packages}"


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Gives a function that says the most memory (MB) taken inside so far: the GPU's where there
    is one, else the process' own, files mapped into it not counted (Linux: RssAnon)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / 2**20
        return
    peak, done = [_anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak[0] = max(peak[0], _anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak[0]
    finally:
        done.set()
        watcher.join()


def _anonymous() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.processor()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
