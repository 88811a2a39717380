"""The paper's data: `python -m mixcse.fetch` downloads, checks and unpacks it.

    data/wiki1m_for_simcse.txt   the training corpus, 1,000,000 sentences
    SentEval/data/downstream/    the evaluation tasks, from senteval.tar

A file that is already in `data/` is not downloaded again.
"""

import tarfile
import tempfile
import zlib
from lzma import LZMAError
from pathlib import Path

from huggingface_hub import hf_hub_download

import senteval
from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say
from mixcse.base.errors import UserError, first_line
from mixcse.base.files import ROOT, check_place, sha256
from mixcse.names import STS_TASKS, TRANSFER_TASKS

HUB_DATASET = "princeton-nlp/datasets-for-simcse"
REVISION = "e145e8bb659b2aa2669f32ef79cb4cdef6c58fef"  # its last commit, of September 2021
CORPUS = "wiki1m_for_simcse.txt"
CORPUS_SHA256 = "7b1825863a99aa76479b0456f7c210539dfaeeb69598b41fb4de4f524dd5a706"  # from the Hub's page of the file
ARCHIVE = "senteval.tar"
MODEL_PAGE = "https://huggingface.co/google-bert/bert-base-uncased/tree/main"
TASK_FOLDERS = ("STS", "SICK", "MR", "CR", "MPQA", "SUBJ", "SST", "TREC", "MRPC")


def fetch_corpus(folder: Path = ROOT / "data", revision: str = REVISION) -> Path:
    """Return the training corpus; download it unless it is there.

    Args:
        revision: commit, branch or tag of the Hub data set; the content of the default commit is checked.

    Raises:
        UserError: it cannot be downloaded, or its SHA-256 is wrong.
    """
    path = _obtain(CORPUS, folder, revision)
    if revision == REVISION and sha256(path) != CORPUS_SHA256:
        raise UserError(
            f"{path}: not the paper's corpus (SHA-256 is not {CORPUS_SHA256}); delete it and fetch it again"
        )
    return path


def fetch_senteval(
    target: Path = ROOT / "SentEval" / "data", folder: Path = ROOT / "data", revision: str = REVISION
) -> Path:
    """Return the folder that holds a complete `downstream/`; download and unpack it unless it is there.

    Raises:
        UserError: the archive cannot be downloaded or unpacked, or task data is missing.
    """
    if not (target / "downstream").exists():
        unpack_senteval(_obtain(ARCHIVE, folder, revision), target)
    if faults := data_faults(target):
        raise UserError(f"{target}: " + "; ".join(faults[:3]) + "; delete downstream/ there and fetch it again")
    return target


def unpack_senteval(archive: Path, target: Path) -> None:
    """Unpack into a temporary folder, find the task folders at any depth, check them, and move them to `target`.

    Raises:
        UserError: the archive is damaged, has unsafe members (see tarfile's "data" filter), or lacks data.
    """
    say(f"unpacking {archive}")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target) as temporary:
        everything, downstream = Path(temporary, "all"), Path(temporary, "ready", "downstream")
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(everything, filter="data")
        except (tarfile.TarError, EOFError, zlib.error, LZMAError) as error:
            raise UserError(
                f"{archive}: cannot be unpacked ({first_line(error)}); delete it and fetch it again"
            ) from error
        downstream.mkdir(parents=True)
        for name in TASK_FOLDERS:
            found = [path for path in sorted(everything.rglob(name)) if path.is_dir() and any(path.iterdir())]
            if not found:
                raise UserError(f"{archive}: no folder {name} in it; delete it and fetch it again")
            found[0].rename(downstream / name)
        if faults := data_faults(downstream.parent):
            first = faults[0].replace(f"{downstream.parent}/", "")
            raise UserError(f"{archive}: {first}; delete it and fetch it again")
        downstream.rename(target / "downstream")


def data_faults(data_dir: Path) -> list[str]:
    """Return what is missing from or wrong in a SentEval data folder, a line each; empty if it is complete.

    The number of samples of every task is checked: an early senteval.tar held 20 lines of
    subj.subjective (SimCSE issue 84), with which SUBJ scores above 99.
    """
    return list(senteval.Suite.load(STS_TASKS + TRANSFER_TASKS, data_dir).missing.values())


def _obtain(name: str, folder: Path, revision: str) -> Path:
    path = folder / name
    if path.is_file():
        return path
    check_place(folder, "data folder")
    say(f"downloading {name} from the Hub data set {HUB_DATASET}, revision {revision}")
    try:
        return Path(hf_hub_download(HUB_DATASET, name, repo_type="dataset", revision=revision, local_dir=folder))
    except Exception as error:  # the Hub client has a dozen kinds; for the user they are one
        _say_how_to_get(folder, revision)
        what = f"the paper's data could not be downloaded ({first_line(error)})"
        raise UserError(f"{what}; get the files above, then give the same command again") from error


def _say_how_to_get(folder: Path, revision: str) -> None:
    """List the files to bring from another machine, with their addresses."""
    say("without a network, get these files on another machine:")
    for name in (CORPUS, ARCHIVE):
        if not (folder / name).is_file():
            say(f"  https://huggingface.co/datasets/{HUB_DATASET}/resolve/{revision}/{name}\n    to {folder / name}")
    say(f"  {MODEL_PAGE} (json files, vocab.txt, model.safetensors)\n    to a folder for --model_name_or_path")


def main(argv: list[str], prog: str = "python -m mixcse.fetch") -> None:
    """Fetch the corpus and the tasks, and print where they are."""
    parser = OneLineParser(
        prog=prog,
        description=f"Downloads {CORPUS} and {ARCHIVE} from the Hub data set {HUB_DATASET}, checks and unpacks them.  "
        "Files that are already there are checked and kept.  Without a network it lists the files to bring.",
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    parser.add_argument("--revision", default=REVISION, help="commit, branch or tag of the data set")
    options = parser.parse_args(argv)
    quiet_libraries()
    for step in (fetch_corpus, fetch_senteval):
        say(f"ready: {step(revision=options.revision)}")
