"""Archives of strangers: whatever is wrong with one, it is refused and nothing of it is left."""

import functools
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

from bad_input.case import Case, Place
from mixcse.base.errors import UserError
from mixcse.data import archives, fetch

TASKS = [f"downstream/{name}/data.txt" for name in fetch.TASK_FOLDERS]


def unpack(place: Place, *, MEMBERS_LIMIT: int = archives.MEMBERS_LIMIT, BYTES_LIMIT: int = 10_000_000) -> None:
    """Into a folder that is not there yet."""
    with mock.patch.multiple(archives, MEMBERS_LIMIT=MEMBERS_LIMIT, BYTES_LIMIT=BYTES_LIMIT):
        fetch.unpack_senteval(place.folder / "x.tar", place.folder / "deep" / "target")


def member(name: str = "downstream/evil.txt", kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more):
    """A member and what it holds; `more` are attributes of tarfile's."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info, content


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def header(info: tarfile.TarInfo, size: bytes) -> bytes:
    """A member's header with something else for its size (12 bytes), its checksum put right."""
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[-512:])
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(size: int) -> bytes:
    return b"%011o\0" % size


def written(content: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / "x.tar").write_bytes(content if isinstance(content, bytes) else content())


def refused(name: str, content: bytes | Callable[[], bytes], *says: str, **limits: int) -> Case:
    does = functools.partial(unpack, **limits)
    return Case(name, does, ("{folder}/x.tar: ", *says, "fetch it again"), written(content), UserError)


def one(**what) -> bytes:
    return tar([member(**what)])


PLAIN = tar([member(name, content=b"0123456789" * 200) for name in TASKS])
ZEROS = tar([member(content=bytes(1 << 21))])
LINKS = {
    "symbolic": (tarfile.SYMTYPE, "/etc/passwd"), "symbolic, within": (tarfile.SYMTYPE, "data.txt"),
    "hard": (tarfile.LNKTYPE, "../x"), "hard, within": (tarfile.LNKTYPE, "downstream/data.txt"),
}  # fmt: skip
DEVICES = {"character device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
OUTSIDE = {
    "..": "../../evil.txt", ".. within": "a/../../evil.txt", ".. last": "downstream/..", "absolute": "/tmp/evil.txt",
    "absolute, twice": "//tmp/evil.txt", "drive": "C:evil.txt",
}  # fmt: skip
ODD = {
    "newline": "a\nb", "escape": "a\x1b[2Jb", "backslash": "..\\..\\evil.txt", "long": "a" * 300,
    "no UTF-8": "a\udcff", "right to left": "a\u202etxt.exe",
}  # fmt: skip
SPARSE_MAP = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}

CASES = [
    *(
        refused(f"link: {name}", one(kind=kind, linkname=to), "'downstream/evil.txt' is a link to")
        for name, (kind, to) in LINKS.items()
    ),
    *(refused(f"device: {name}", one(kind=kind), "is a device or pipe") for name, kind in DEVICES.items()),
    *(refused(f"outside: {name}", one(name=to), "would lie outside") for name, to in OUTSIDE.items()),
    *(refused(f"name: {name}", one(name=to), "odd characters or of more than 255 bytes") for name, to in ODD.items()),
    refused("name: NUL", one(pax_headers={"path": "a\0b"}), "odd characters or of more than 255 bytes"),
    refused("name: a folder outside", one(name="../a", kind=tarfile.DIRTYPE), "would lie outside"),
    refused("name: twice", tar([member(), member()]), "is there twice"),
    refused("name: a file, then a folder", tar([member("a"), member("a/b")]), "cannot be unpacked"),
    refused("kind: unknown", one(kind=b"Z"), "of an unknown kind"),
    refused("many members", tar(member(f"a/{i}") for i in range(12)), "more than 10 members", MEMBERS_LIMIT=10),
    refused("large", ZEROS, "unpacks to more than 1,048,576 bytes", BYTES_LIMIT=1 << 20),
    refused("bomb: gzip", gzip.compress(ZEROS), "unpacks to more than 1,048,576 bytes", BYTES_LIMIT=1 << 20),
    refused(
        "bomb: gzip behind the archive's end",
        gzip.compress(PLAIN + bytes(1 << 21)), "unpacks to more than", BYTES_LIMIT=1 << 20,
    ),
    refused(
        "bomb: a header that lies", header(member()[0], octal(1 << 32)) + bytes(1 << 21), "unpacks to more than",
        BYTES_LIMIT=1 << 20,
    ),
    refused("compressed: xz", lzma.compress(PLAIN), "cannot be unpacked"),
    refused("header: long name of 1 GiB", header(member(kind=b"L")[0], octal(1 << 30)), "cannot be unpacked"),
    refused("header: pax after pax, for ever", header(member(kind=b"x")[0], octal(0)) * 3000, "cannot be unpacked"),
    refused("header: negative size", header(member()[0], b"\xff" * 12), "is sparse or of an unknown kind"),
    refused("sparse: GNU", header(member(kind=b"S")[0], octal(0)), "sparse"),
    refused("sparse: pax 1.0", one(content=b"1\n0\n1\n".ljust(513), pax_headers=SPARSE_MAP), "sparse"),
    refused("truncated: in a file", PLAIN[:600], "cannot be unpacked", "unexpected end"),
    refused("truncated: gzip", lambda: gzip.compress(PLAIN)[:-20], "cannot be unpacked"),
    refused("damaged: gzip's checksum", lambda: gzip.compress(PLAIN)[:-8] + b"\0" * 8, "cannot be unpacked", "CRC"),
    refused("damaged: no tar", b"not a tar" * 100, "cannot be unpacked"),
    refused("damaged: empty", b"", "cannot be unpacked", "empty"),
    refused("damaged: a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\n", "cannot be unpacked"),
    refused("lacks: a task", tar(member(name, content=b"x") for name in TASKS[1:]), "no folder STS"),
    refused("lacks: what is in the files", PLAIN, "STS12", "No such file", "and 13 more"),
    Case(
        "a folder", unpack, ("{folder}/x.tar: ", "Is a directory"),
        lambda folder: (folder / "x.tar").mkdir(), UserError,
    ),
    Case("is not there", unpack, ("{folder}/x.tar: ", "No such file"), None, UserError),
    Case(
        "a file where the data is to go", unpack, ("{folder}/deep/target cannot be written",),
        lambda folder: (folder / "deep").touch(), UserError,
    ),
]  # fmt: skip
