"""Unpacking a tar of a stranger's: only files and folders, few enough, small enough, inside the target."""

import gzip
import re
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from mixcse.base.errors import UserError, first_line
from mixcse.base.faults import fault_of, one_line

MEMBERS_LIMIT = 5_000  # the real senteval.tar has some hundreds
BYTES_LIMIT = 1 << 30  # unpacked, headers included; the real one has 90 MB
NAME_LIMIT = 255  # bytes of a member's whole path
CHUNK = 1 << 16
GZIP = b"\x1f\x8b"


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar, plain or gzipped, into an empty folder; permissions, owners and times are not taken over.

    The limits hold for what is really read, whatever the headers say.

    Raises:
        UserError: it is damaged, too large, or a member is neither a file nor a folder, or has a name that could
            lead elsewhere; or the disk is full.  What was unpacked up to there is left in the folder.
    """
    try:
        with open(archive, "rb") as file:
            packed = file.peek(len(GZIP)).startswith(GZIP)
            stream = _Limited(gzip.GzipFile(fileobj=file) if packed else file)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                taken: set[str] = set()
                for number, member in enumerate(tar, start=1):
                    if number > MEMBERS_LIMIT:
                        raise _Refused(f"it has more than {MEMBERS_LIMIT:,} members")
                    path = _place_of(member, taken)
                    if member.isdir():
                        (folder / path).mkdir(parents=True, exist_ok=True)
                        continue
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    with open(folder / path, "xb") as out:
                        shutil.copyfileobj(tar.extractfile(member), out, CHUNK)
            while stream.read(CHUNK):  # gzip's checksum is at the end
                pass
    except _Refused as error:
        raise UserError(f"{archive}: {error}; it is not unpacked, fetch it again") from error
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError, RecursionError) as error:
        if (fault := fault_of(error)) and fault.writing:  # of the place that it goes to, not of the archive
            raise UserError(one_line(error, str(folder))) from error
        raise UserError(f"{archive}: cannot be unpacked ({first_line(error)}); delete it and fetch it again") from error


def _place_of(member: tarfile.TarInfo, taken: set[str]) -> PurePosixPath:
    """Its path below the target; raises `_Refused` if it is not to be unpacked, or one of its name is `taken`."""
    name = _shown(member.name)
    if member.issparse() or member.size < 0 or not (member.isdir() or member.isreg()):
        raise _Refused(f"member {name} is {_kind(member)}, not a file or folder")
    # Neither control characters nor halves of characters are printable.
    if not member.name.isprintable() or "\\" in member.name or len(member.name.encode()) > NAME_LIMIT:
        raise _Refused(f"member {name} has a name of odd characters or of more than {NAME_LIMIT} bytes")
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member.name):
        raise _Refused(f"member {name} would lie outside the folder")
    if member.isreg() and str(path).casefold() in taken:
        raise _Refused(f"member {name} is there twice")
    taken.add(str(path).casefold() if member.isreg() else "")
    return path


def _kind(member: tarfile.TarInfo) -> str:
    if member.islnk() or member.issym():
        return f"a link to {_shown(member.linkname)}"
    return "a device or pipe" if member.isdev() else "sparse or of an unknown kind"


def _shown(name: str) -> str:
    """For a message: on one line, and not a page of it."""
    return ascii(name if len(name) <= 80 else f"{name[:80]}...")


class _Refused(Exception):
    """The archive is not one to unpack."""


class _Limited:
    """A stream of which no more than `BYTES_LIMIT` bytes can be read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.count = stream, 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.count += len(data)
        if self.count > BYTES_LIMIT:
            raise _Refused(f"it unpacks to more than {BYTES_LIMIT:,} bytes")
        return data
