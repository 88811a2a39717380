"""The paper's data: `python -m mixcse.fetch` downloads, checks and unpacks it.

    data/wiki1m_for_simcse.txt   the training corpus, 1,000,000 sentences
    SentEval/data/downstream/    the evaluation tasks, out of senteval.tar

A file that already lies in `data/` is taken instead of being downloaded.
"""

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import hf_hub_download

import senteval
from mixcse.console import OneLineParser, UserError, first_line, quiet_libraries, run_cli, say
from mixcse.files import ROOT, read_json, sha256, write_json
from mixcse.names import STS_TASKS, TRANSFER_TASKS

HUB_DATASET = "princeton-nlp/datasets-for-simcse"
CORPUS = "wiki1m_for_simcse.txt"
CORPUS_LINES = 1_000_000
ARCHIVE = "senteval.tar"
RECORD = "fetched.json"  # checksums of what was checked, beside the files

TASK_FOLDERS = ("STS", "SICK", "MR", "CR", "MPQA", "SUBJ", "SST", "TREC", "MRPC")
ARCHIVE_LIMIT = 4 << 30  # bytes unpacked, far above the real archive


def fetch_corpus(folder: Path = ROOT / "data") -> Path:
    """The training corpus, downloaded unless it is there, and checked.

    Raises:
        UserError: it cannot be had, or is not the right file.
    """
    path = _obtain(CORPUS, folder)
    with open(path, "rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 24), b""))
    if lines != CORPUS_LINES:
        raise UserError(f"{path}: {lines:,} lines, expected {CORPUS_LINES:,}; delete it and fetch it again")
    _check_recorded(path)
    return path


def fetch_senteval(target: Path = ROOT / "SentEval" / "data", folder: Path = ROOT / "data") -> Path:
    """The folder that holds a complete `downstream/`, unpacked unless it is there.

    Raises:
        UserError: the archive cannot be had, is unsafe, or lacks data.
    """
    if not (target / "downstream").exists():
        archive = _obtain(ARCHIVE, folder)
        unpack_senteval(archive, target)
        _check_recorded(archive)
    if faults := data_faults(target):
        raise UserError(f"{target}: " + "; ".join(faults[:3]) + "; delete downstream/ there and fetch it again")
    return target


def unpack_senteval(archive: Path, target: Path) -> None:
    """Unpacks aside, finds the task folders wherever they lie, checks them, then renames them into place.

    Raises:
        UserError: the archive is damaged or unsafe, or its data is incomplete.
    """
    target.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target))
    try:
        say(f"unpacking {archive}")
        try:
            with tarfile.open(archive) as tar:
                if sum(member.size for member in tar) > ARCHIVE_LIMIT:
                    raise UserError(f"{archive}: unpacks to more than {ARCHIVE_LIMIT >> 30} GiB; this is not {ARCHIVE}")
                tar.extractall(aside / "all", filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(
                f"{archive}: cannot be unpacked ({first_line(error)}); delete it and fetch it again"
            ) from error
        downstream = aside / "ready" / "downstream"
        downstream.mkdir(parents=True)
        for name in TASK_FOLDERS:
            found = [path for path in sorted((aside / "all").rglob(name)) if path.is_dir() and any(path.iterdir())]
            if not found:
                raise UserError(f"{archive}: no folder {name} in it")
            found[0].rename(downstream / name)
        if faults := data_faults(downstream.parent):
            raise UserError(f"{archive}: " + "; ".join(faults[:3]))
        downstream.rename(target / "downstream")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def data_faults(data_dir: Path) -> list[str]:
    """What is missing from or wrong in a SentEval data folder, a line each; empty if complete.

    An early senteval.tar held 20 lines of subj.subjective (SimCSE issue 84), with which
    SUBJ scores above 99: the number of samples of every task is checked.
    """
    return list(senteval.Suite.load(STS_TASKS + TRANSFER_TASKS, data_dir).missing.values())


def _obtain(name: str, folder: Path) -> Path:
    path = folder / name
    if path.is_file():
        return path
    say(f"downloading {name} from the Hub data set {HUB_DATASET}")
    try:
        cached = hf_hub_download(HUB_DATASET, name, repo_type="dataset")
    except Exception as error:  # the Hub client has a dozen kinds; for the user they are one
        raise UserError(_how_to_get(folder, error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{name}.partial")
    shutil.copyfile(cached, aside)
    aside.replace(path)
    return path


def _how_to_get(folder: Path, error: Exception) -> str:
    lines = [
        f"the paper's data could not be downloaded ({first_line(error)})",
        "without network, get on another machine:",
    ]
    for name in (CORPUS, ARCHIVE):
        if not (folder / name).is_file():
            url = f"https://huggingface.co/datasets/{HUB_DATASET}/resolve/main/{name}"
            lines.append(f"  {url}\n    and put it at {folder / name}")
    return "\n".join([*lines, "then run the same command again"])


def _check_recorded(path: Path) -> None:
    """The file's SHA-256 must be the one recorded when it was first checked; records it then."""
    record_path = path.with_name(RECORD)
    try:
        record = dict(read_json(record_path)) if record_path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise UserError(f"{record_path} is damaged ({error}); delete it") from error
    digest = sha256(path)
    if record.setdefault(path.name, digest) != digest:
        raise UserError(
            f"{path}: its content has changed since it was first checked; fetch it again, or delete {record_path}"
        )
    write_json(record_path, record)


def main(argv: list[str], prog: str = "python -m mixcse.fetch") -> None:
    """Fetches both and says where they are."""
    OneLineParser(
        prog=prog,
        description=f"Downloads {CORPUS} and {ARCHIVE} from the Hub data set {HUB_DATASET}, checks and unpacks them.  "
        "What is there already is checked and kept; without network it says which files to bring.",
        allow_abbrev=False,
    ).parse_args(argv)
    quiet_libraries()
    steps: tuple[Callable[[], Path], ...] = (fetch_corpus, fetch_senteval)
    for step in steps:
        say(f"ready: {step()}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
