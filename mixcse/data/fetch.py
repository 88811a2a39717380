"""The paper's data: `python -m mixcse.fetch` downloads, checks and unpacks it.

    data/wiki1m_for_simcse.txt   the training corpus, 1,000,000 sentences
    SentEval/data/downstream/    the evaluation tasks, out of senteval.tar

A file that already lies in `data/` is taken instead of being downloaded.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from huggingface_hub import hf_hub_download

import senteval
from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say
from mixcse.base.errors import UserError, first_line
from mixcse.base.files import ROOT, check_place, moved_when_written, read_json, sha256, write_json
from mixcse.data.archives import unpack
from mixcse.names import STS_TASKS, TRANSFER_TASKS

HUB_DATASET = "princeton-nlp/datasets-for-simcse"
REVISION = "e145e8bb659b2aa2669f32ef79cb4cdef6c58fef"  # its last commit, of September 2021
CORPUS = "wiki1m_for_simcse.txt"
CORPUS_LINES = 1_000_000
CORPUS_SHA256 = "7b1825863a99aa76479b0456f7c210539dfaeeb69598b41fb4de4f524dd5a706"  # as the Hub's page of the file says
ARCHIVE = "senteval.tar"
RECORD = "fetched.json"  # of each file: SHA-256 of what was checked, and the revision it was downloaded from

TASK_FOLDERS = ("STS", "SICK", "MR", "CR", "MPQA", "SUBJ", "SST", "TREC", "MRPC")


def fetch_corpus(folder: Path = ROOT / "data", revision: str = REVISION) -> Path:
    """The training corpus, downloaded unless it is there, and checked.

    Args:
        revision: of the data set; the content of the usual one is known.

    Raises:
        UserError: it cannot be had, or is not the right file.
    """
    path = _obtain(CORPUS, folder, revision)
    with open(path, "rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 24), b""))
    if lines != CORPUS_LINES:
        raise UserError(f"{path}: {lines:,} lines, expected {CORPUS_LINES:,}; delete it and fetch it again")
    digest = _checked(path)
    if revision == REVISION and digest != CORPUS_SHA256:
        raise UserError(f"{path}: it is not the paper's corpus (SHA-256 {CORPUS_SHA256}); delete it and fetch it again")
    _remember(path, sha256=digest)
    return path


def fetch_senteval(
    target: Path = ROOT / "SentEval" / "data", folder: Path = ROOT / "data", revision: str = REVISION
) -> Path:
    """The folder that holds a complete `downstream/`, unpacked unless it is there.

    Raises:
        UserError: the archive cannot be had, is unsafe, or lacks data.
    """
    if not (target / "downstream").exists():
        archive = _obtain(ARCHIVE, folder, revision)
        digest = _checked(archive)
        unpack_senteval(archive, target)
        _remember(archive, sha256=digest)
    if faults := data_faults(target):
        raise UserError(f"{target}: " + "; ".join(faults[:3]) + "; delete downstream/ there and fetch it again")
    return target


def unpack_senteval(archive: Path, target: Path) -> None:
    """Unpacks aside, finds the task folders wherever they lie, checks them, then renames them into place.

    Raises:
        UserError: the archive is damaged or unsafe, or its data is incomplete.
    """
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target))
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror}); make it writable, or remove it") from error
    try:
        say(f"unpacking {archive}")
        (aside / "all").mkdir()
        unpack(archive, aside / "all")
        downstream = aside / "ready" / "downstream"
        downstream.mkdir(parents=True)
        for name in TASK_FOLDERS:
            found = [path for path in sorted((aside / "all").rglob(name)) if path.is_dir() and any(path.iterdir())]
            if not found:
                raise UserError(f"{archive}: no folder {name} in it; delete it and fetch it again")
            found[0].rename(downstream / name)
        if faults := data_faults(downstream.parent):
            first = faults[0].replace(f"{downstream.parent}/", "")
            more = f", and {len(faults) - 1} more" * (len(faults) > 1)
            raise UserError(f"{archive}: {first}{more}; delete it and fetch it again")
        downstream.rename(target / "downstream")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # there is something in it
            for folder in made:
                folder.rmdir()


def data_faults(data_dir: Path) -> list[str]:
    """What is missing from or wrong in a SentEval data folder, a line each; empty if complete.

    An early senteval.tar held 20 lines of subj.subjective (SimCSE issue 84), with which
    SUBJ scores above 99: the number of samples of every task is checked.
    """
    return list(senteval.Suite.load(STS_TASKS + TRANSFER_TASKS, data_dir).missing.values())


def _obtain(name: str, folder: Path, revision: str) -> Path:
    path = folder / name
    if path.is_file():
        return path
    check_place(folder, "data folder")
    say(f"downloading {name} from the Hub data set {HUB_DATASET}, revision {revision}")
    try:
        cached = Path(hf_hub_download(HUB_DATASET, name, repo_type="dataset", revision=revision))
    except Exception as error:  # the Hub client has a dozen kinds; for the user they are one
        raise UserError(_how_to_get(folder, revision, error)) from error
    with open(cached, "rb") as file, moved_when_written(path) as out:
        shutil.copyfileobj(file, out)
    commit = cached.parent.name  # in the Hub's cache, also where the revision is a branch
    if _record(path).get(name, {}).get("revision") != commit:
        _remember(path, revision=commit, sha256=None)  # the checksum was of another one
    return path


def _how_to_get(folder: Path, revision: str, error: Exception) -> str:
    lines = [
        f"the paper's data could not be downloaded ({first_line(error)})",
        "without network, get on another machine:",
    ]
    for name in (CORPUS, ARCHIVE):
        if not (folder / name).is_file():
            url = f"https://huggingface.co/datasets/{HUB_DATASET}/resolve/{revision}/{name}"
            lines.append(f"  {url}\n    and put it at {folder / name}")
    return "\n".join([*lines, "then run the same command again"])


def _checked(path: Path) -> str:
    """The file's SHA-256, which must be the recorded one if there is one."""
    digest = sha256(path)
    if _record(path).get(path.name, {}).get("sha256") not in (None, digest):
        raise UserError(
            f"{path}: its content has changed since it was first checked; fetch it again, or delete "
            f"{path.with_name(RECORD)}"
        )
    return digest


def _record(path: Path) -> dict[str, dict[str, str | None]]:
    """What is known of the files in the same folder, by name."""
    record_path = path.with_name(RECORD)
    try:
        return (
            {name: dict(known) for name, known in dict(read_json(record_path)).items()} if record_path.is_file() else {}
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{record_path} is damaged ({error}); delete it") from error


def _remember(path: Path, **known: str | None) -> None:
    record = _record(path)
    record[path.name] = record.get(path.name, {}) | known
    write_json(path.with_name(RECORD), record)


def main(argv: list[str], prog: str = "python -m mixcse.fetch") -> None:
    """Fetches both and says where they are."""
    parser = OneLineParser(
        prog=prog,
        description=f"Downloads {CORPUS} and {ARCHIVE} from the Hub data set {HUB_DATASET}, checks and unpacks them.  "
        "What is there already is checked and kept; without network it says which files to bring.",
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    parser.add_argument("--revision", default=REVISION, help="commit, branch or tag of the data set")
    options = parser.parse_args(argv)
    quiet_libraries()
    for step in (fetch_corpus, fetch_senteval):
        say(f"ready: {step(revision=options.revision)}")
