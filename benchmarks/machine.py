"""What a benchmark ran on, and how much memory it took."""

import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

PACKAGES = ("torch", "transformers", "sentence-transformers", "onnxruntime", "openvino")
INTERVAL = 0.02  # seconds between looks at the memory


def machine(threads: int | None = None) -> str:
    """Processor or GPU, Python and library versions, in a line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES if find_spec(name.replace("-", "_")))
    return f"{device}, {threads or torch.get_num_threads()} threads; Python {platform.python_version()}, {packages}"


def own_memory() -> int:
    """Bytes of this process that are in memory and in no file (Linux: RssAnon)."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def memory_with_children() -> int:
    """The same with its children's; pages that they share since the fork count once (Pss_Anon)."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    if len(processes) == 1:
        return own_memory()
    kilobytes = 0
    for process in processes:
        with suppress(OSError):  # it has ended
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
    return 1024 * kilobytes


@contextmanager
def peak_memory(look: Callable[[], int] = own_memory, unit: float = 2**20) -> Iterator[Callable[[], float]]:
    """Gives a function that says the most memory (MB) taken inside so far: the GPU's where there is one."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / unit
        return
    peak, done = [look()], threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak[0] = max(peak[0], look())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak[0] / unit
    finally:
        done.set()
        watcher.join()


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.processor()
