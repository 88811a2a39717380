"""Several processes that encode, each on its device."""

import os
import shutil
import signal
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixcse.base.checks import check_count, device_of
from mixcse.base.errors import UserError, first_line
from mixcse.encoder.batches import embeddings_of, longest_first
from mixcse.model.sentence_model import SentenceModel

CHUNKS_EACH = 8  # a process that had short sentences takes more of them
SMALLEST_CHUNK, LARGEST_CHUNK = 32, 2048  # sentences
COPY = "model.pt"  # of the model, in a temporary folder
A_CORE = 4  # processes at most: each has a copy of the model, and memory ends before the operating system says no

_own: dict[str, Any] = {}  # of a process that encodes: its device, and its model or where the copy lies


class Workers:
    """Processes with a copy of a model each, until `close()` is called or this object is gone.

    A CPU's threads are shared out among them.

    Args:
        model: copied as it is now.
        devices: one for each process, such as `cuda:1`; some may be the same.

    Raises:
        UserError: they are too many.
    """

    def __init__(self, model: SentenceModel, devices: list[str]) -> None:
        _check_how_many(len(devices))
        self.key = key(model, devices)
        self._count = len(devices)
        context = get_context("spawn")  # a forked process cannot use CUDA, and inherits locks of threads
        queue = context.SimpleQueue()
        for device in devices:
            queue.put(device)
        # Not among `initargs`: a start waits for ever for a process that ends before it has read them.
        folder = tempfile.TemporaryDirectory(prefix="mixcse-")
        torch.save(model, Path(folder.name) / COPY)
        threads = max(1, torch.get_num_threads() // len(devices))
        initial = (queue, folder.name, threads)
        self._pool = ProcessPoolExecutor(len(devices), context, initializer=_begin, initargs=initial)
        self._started: list[BaseProcess] = []
        self.close = weakref.finalize(self, _close, self._pool, self._started, folder)

    def encode(self, sentences: list[str], **options: Any) -> Iterator[tuple[list[int], np.ndarray]]:
        """Positions of sentences and their embeddings, as they come, longest sentences first.

        `options` are those of `embeddings_of`.  Interrupted or failing, it ends all processes.

        Raises:
            UserError: a device cannot be used, or a process failed or was killed.
        """
        order = longest_first(sentences)
        size = min(LARGEST_CHUNK, max(SMALLEST_CHUNK, len(order) // (CHUNKS_EACH * self._count)))
        before = active_children()
        chunks: dict[Future, list[int]] = {}
        try:
            for start in range(0, len(order), size):
                chunk = order[start : start + size]
                texts = [sentences[position] for position in chunk]
                chunks[self._pool.submit(_encode, texts, options)] = chunk
            self._started += [process for process in active_children() if process not in before]
            for future in as_completed(list(chunks)):
                yield chunks.pop(future), future.result()
        except BrokenProcessPool as error:
            self.close()
            raise UserError(
                "a process that encodes has ended; if it was killed for memory, use fewer, or a smaller batch; "
                'a script that encodes in several processes needs `if __name__ == "__main__":`'
            ) from error
        except BaseException:
            self.close()
            raise


def devices_of(device: torch.device, processes: int | None, devices: list[str] | None) -> list[str] | None:
    """A device for each process; None if this process is to do it on the device where the model is.

    Raises:
        ValueError: both are given, one is out of its range, or `processes` is not for this device.
        TypeError: `processes` is no whole number.
        UserError: a device is none.
    """
    if processes is not None and devices is not None:
        raise ValueError("give processes or devices, not both")
    if devices is not None:
        if not isinstance(devices, list | tuple) or not devices:
            raise ValueError('devices is a list with a device for each process, such as ["cuda:0", "cuda:1"]')
        return [str(device_of(device)) for device in devices]
    if processes is None:
        return None
    check_count("processes", processes)
    if processes == 1:
        return None
    if device.type != "cpu":
        raise ValueError(f"processes is for a CPU, and this model is on {device}; name the GPUs in devices")
    _check_how_many(processes)  # rather than make a list of a billion
    return ["cpu"] * processes


def _check_how_many(processes: int) -> None:
    most = max(A_CORE * (os.cpu_count() or 1), torch.cuda.device_count())
    if processes > most:
        raise UserError(f"{processes} processes on {os.cpu_count()} cores; choose at most {most}")


def key(model: SentenceModel, devices: list[str]) -> tuple:
    """Changes when copies of the model would no longer be what it is."""
    weights = ((tensor.data_ptr(), tensor._version) for tensor in model.state_dict(keep_vars=True).values())
    return tuple(devices), *weights


def _begin(queue: Any, folder: str, threads: int) -> None:
    """What a process does first; it loads its model with its first sentences, where what fails is said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the parent sees to it
    threading.Thread(target=_end_with_parent, args=[folder], daemon=True).start()
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # the tokenizer's
    torch.set_num_threads(threads)
    _own.update(device=queue.get(), copy=Path(folder) / COPY)


def _end_with_parent(folder: str) -> None:
    parent_process().join()  # else a pool's processes outlive a parent that was killed
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _encode(sentences: list[str], options: dict[str, Any]) -> np.ndarray:
    try:
        if "model" not in _own:  # the parent wrote it, for this process alone
            model = torch.load(_own["copy"], map_location="cpu", weights_only=False)
            _own["model"] = model.eval().to(_own["device"])
        embeddings = np.empty((len(sentences), _own["model"].dim), dtype=np.float32)
        for positions, part in embeddings_of(_own["model"], sentences, **options):
            embeddings[positions] = part
        return embeddings
    except Exception as error:  # torch has many kinds for a device that is not there; out of memory is a RuntimeError
        raise UserError(f"a process on {_own['device']}: {first_line(error)}") from error


def _close(pool: ProcessPoolExecutor, processes: list[BaseProcess], copy: tempfile.TemporaryDirectory) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:  # rather than wait for what they are at
        process.terminate()
    for process in processes:
        process.join()
    copy.cleanup()
