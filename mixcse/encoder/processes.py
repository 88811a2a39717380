"""Several processes that encode, each on its device."""

import io
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mixcse.base.checks import check_count, device_of
from mixcse.base.errors import UserError, first_line
from mixcse.encoder.batches import longest_first

if TYPE_CHECKING:
    from mixcse.encoder.sentence_encoder import SentenceEncoder

CHUNKS_EACH = 8  # a process that had short sentences takes more of them
SMALLEST_CHUNK, LARGEST_CHUNK = 32, 2048  # sentences
A_CORE = 4  # processes at most: each has a copy of the model, and memory ends before the operating system says no
PATIENCE = 10  # seconds for a process to end by itself


class Workers:
    """Processes with a copy of an encoder each, until `close()` is called or this object is gone.

    A CPU's threads are shared out among them.  Each has a pipe of its own: it ends with its
    parent, and if it is killed the parent learns of it.

    Args:
        encoder: copied as it is now.
        devices: one for each process, such as `cuda:1`; some may be the same.

    Raises:
        UserError: a device cannot be used, they are too many, or a process does not come up.
    """

    def __init__(self, encoder: "SentenceEncoder", devices: list[str]) -> None:
        _check_how_many(len(devices))
        self.key = key(encoder, devices)
        self._devices = devices
        context = get_context("spawn")  # a forked process cannot use CUDA, and inherits locks of threads
        self._pipes, processes = [], []
        threads = max(1, torch.get_num_threads() // len(devices))
        self.close = weakref.finalize(self, _close, processes, self._pipes)
        try:
            for device in devices:
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, device, threads), daemon=True)
                process.start()
                theirs.close()
                processes.append(process)
                self._pipes.append(ours)
            content = _as_bytes(encoder)
            for number, pipe in enumerate(self._pipes):
                self._try(number, lambda pipe=pipe: pipe.send_bytes(content))
            for number in range(len(devices)):
                self._receive(number)
        except BaseException:
            self.close()
            raise

    def encode(self, sentences: list[str], batch_size: int) -> Iterator[tuple[list[int], np.ndarray]]:
        """Positions of sentences and their embeddings, as they come, longest sentences first.

        Interrupted or failing, it ends all processes.

        Raises:
            UserError: a process failed or was killed.
        """
        order = longest_first(sentences)
        size = min(LARGEST_CHUNK, max(SMALLEST_CHUNK, len(order) // (CHUNKS_EACH * len(self._devices))))
        chunks = iter([order[start : start + size] for start in range(0, len(order), size)])
        given: dict[int, list[int]] = {}

        def give(number: int) -> None:
            if chunk := next(chunks, None):
                given[number] = chunk
                task = [sentences[position] for position in chunk], batch_size
                self._try(number, lambda: self._pipes[number].send(task))

        try:
            for number in range(len(self._pipes)):
                give(number)
            while given:
                for pipe in wait([self._pipes[number] for number in given]):
                    number = self._pipes.index(pipe)
                    embeddings, chunk = self._receive(number), given.pop(number)
                    give(number)
                    yield chunk, embeddings
        except BaseException:
            self.close()
            raise

    def _receive(self, number: int) -> np.ndarray | None:
        answer = self._try(number, self._pipes[number].recv)
        if isinstance(answer, str):
            raise UserError(f"process {number} on {self._devices[number]}: {answer}")
        return answer

    def _try(self, number: int, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (EOFError, OSError) as error:
            raise UserError(
                f"process {number} on {self._devices[number]} has ended; if it was killed for memory, use fewer, or a "
                'smaller batch; a script that encodes in several processes needs `if __name__ == "__main__":`'
            ) from error


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


def key(encoder: "SentenceEncoder", devices: list[str]) -> tuple:
    """Changes when copies of the encoder would no longer be what it is."""
    weights = ((tensor.data_ptr(), tensor._version) for tensor in encoder.model.state_dict(keep_vars=True).values())
    return encoder.pooler, encoder.max_seq_length, tuple(devices), *weights


def _as_bytes(encoder: "SentenceEncoder") -> bytes:
    buffer = io.BytesIO()
    torch.save((encoder.model, encoder.pooler, encoder.max_seq_length), buffer)
    return buffer.getvalue()


def _work(pipe: Connection, device: str, threads: int) -> None:
    """What a process does: takes sentences, gives embeddings; a string says what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the parent sees to it
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # the tokenizer's
    torch.set_num_threads(threads)
    from mixcse.encoder.sentence_encoder import SentenceEncoder, move

    try:
        try:
            content = io.BytesIO(pipe.recv_bytes())
            # The parent wrote it, for this process alone.
            model, pooler, max_seq_length = torch.load(content, map_location="cpu", weights_only=False)
            move(model, device)
            encoder = SentenceEncoder(model, pooler=pooler, max_seq_length=max_seq_length)
            pipe.send(None)
            while True:
                sentences, batch_size = pipe.recv()
                pipe.send(encoder.encode(sentences, batch_size))
        except (UserError, RuntimeError) as error:  # out of memory is a RuntimeError
            pipe.send(first_line(error))
    except (EOFError, OSError):
        return  # the parent has closed the pipe, or is gone


def _close(processes: list, pipes: list[Connection]) -> None:
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
