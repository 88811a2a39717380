"""What the machine's faults mean for a user: a full disk, a folder that has gone, memory that ran out.

Libraries report one and the same fault by errors of their own; here they are told by what they say.
What is not known here is a bug, and its traceback is worth more than a guess.
"""

import errno
import os
import re
from typing import NamedTuple

ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "name a place that can be written to",
    errno.EACCES: "name a place that you have the rights for",
    errno.EPERM: "name a place that you have the rights for",
    errno.EIO: "check the disk",
    errno.ENOENT: "check that it, or its folder, was not removed meanwhile",
    errno.ENOTDIR: "check that its folder was not replaced meanwhile",
    errno.EISDIR: "rename the folder that lies in its place",
    errno.ESTALE: "check that its folder was not removed meanwhile",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a shorter name",
}
WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
TRAINING_FLAGS = (
    "a smaller --per_device_train_batch_size or --max_seq_length, --padding none, or --embedding_chunk_size, "
    "which keeps the batch"
)
ENCODING_FLAGS = "a smaller --batch_size or --max_seq_length"

# torch's writer knows only that a file has come out shorter than it should be, as numpy's does.
_CUT_SHORT = re.compile(r"unexpected pos \d+ vs \d+|iostream error|failed writing file|^\d+ requested and \d+ written$")
_SAID = re.compile(
    r'(?:\(os error |\[Errno )(?P<number>\d+)[)\]](?: at path "(?P<path>[^"]+)")?|'  # safetensors, tokenizers; datasets
    r"strerror: (?P<strerror>.+)|Parent directory (?P<folder>.+) does not exist"  # torch
)
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|unable to allocate|CUBLAS_STATUS_ALLOC_FAILED|"
    r"DataLoader worker .*killed by signal: (Killed|Bus error)",
    re.IGNORECASE,
)
_BY_TEXT = {os.strerror(number): number for number in ADVICE}


class Fault(NamedTuple):
    """What is wrong, what to do, with which file, where that is known; and whether only writing can meet it."""

    what: str
    advice: str
    path: str | None = None
    writing: bool = False


def fault_of(error: BaseException) -> Fault | None:
    """The fault of the machine that an error reports, or one that it was raised from; None if it is no such thing."""
    cause: BaseException | None = error
    while cause is not None:
        if is_out_of_memory(cause):
            return Fault("out of memory", f"free some, or take {ENCODING_FLAGS}")
        if fault := _of_files(cause):
            return fault
        cause = cause.__cause__
    return None


def reason(error: BaseException) -> str | None:
    """Of a known fault what is wrong and what to do, such as "No space left on device; make room"; else None."""
    fault = fault_of(error)
    return fault and f"{fault.what}; {fault.advice}"


def one_line(error: BaseException, place: str = "the output") -> str | None:
    """As `reason`, with the file that it is about: `place`, unless the error says."""
    fault = fault_of(error)
    if fault is None:
        return None
    if fault.writing:
        return f"{fault.path or place} cannot be written ({fault.what}); {fault.advice}"
    return f"{fault.path}: {reason(error)}" if fault.path else reason(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: the GPU's or the machine's."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def _of_files(error: BaseException) -> Fault | None:
    number, path = None, None
    if isinstance(error, OSError) and error.errno is not None:
        number, path = error.errno, error.filename2 or error.filename
    elif isinstance(error, OSError | RuntimeError) and _CUT_SHORT.search(str(error)):
        return Fault("only a part of it was", ADVICE[errno.ENOSPC], writing=True)
    elif found := _SAID.search(str(error)):
        what = found["strerror"] or os.strerror(int(found["number"] or errno.ENOENT))
        number, path = _BY_TEXT.get(what.strip()), found["path"] or found["folder"]
    if number not in ADVICE:
        return None
    path = None if path is None or isinstance(path, int) else os.fsdecode(path)
    return Fault(os.strerror(number), ADVICE[number], path, number in WRITING)
