"""The checkpoints of a run: written aside and renamed, sealed with checksums, verified before they are used.

    out/.writing-checkpoint-50/checkpoint-50/   while it is written, by every process
    out/checkpoint-50/                          once it is whole: with checksums.json, all files' sizes and SHA-256

A process that is killed leaves the first, which the next run removes, or the second, which it can continue from.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mixcse.base.console import warn
from mixcse.base.files import ASIDE, read_json, sha256, write_json
from mixcse.base.group import rank, world_size

SEAL_FILE = "checksums.json"
STATE_FILE = "trainer_state.json"
PREFIX = "checkpoint-"
SKIPPED = "skipped-"  # how the names of those begin that were set aside


def checkpoints(folder: Path) -> dict[int, Path]:
    """Those in a run's folder by their steps, the oldest first: by number, for clocks can be set back."""
    numbered = ((path.name.removeprefix(PREFIX), path) for path in folder.glob(f"{PREFIX}*") if path.is_dir())
    return dict(sorted((int(number), path) for number, path in numbered if number.isdecimal()))


def way_on(folder: Path) -> str:
    """How a run that was stopped continues, for messages."""
    last = max(checkpoints(folder), default=None)
    return f"the same command {'starts again' if last is None else f'goes on from step {last}'}"


def place_aside(folder: Path, step: int) -> Path:
    """Where the checkpoint is written, within a folder that the Trainer takes for its output folder."""
    return folder / f"{ASIDE}{PREFIX}{step}" / f"{PREFIX}{step}"


def put_in_place(aside: Path, folder: Path) -> Path:
    """Seals a checkpoint that is written to its end, and has it appear among the others at once."""
    write_json(aside / SEAL_FILE, _checksums(aside))
    place = folder / aside.name
    if place.exists():
        remove(place)
    aside.rename(place)
    aside.parent.rmdir()
    return place


def remove(checkpoint: Path) -> None:
    """Deletes it; one that is half deleted is not among the checkpoints."""
    gone = checkpoint.with_name(f"{ASIDE}gone-{checkpoint.name}")
    if gone.exists():
        shutil.rmtree(gone)
    checkpoint.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)  # NFS keeps what is open, such as an upload; the next run removes it


def set_aside(checkpoint: Path) -> None:
    """Takes it out of the checkpoints: a fault may be of the disk that reads it, so it is kept until the run's end."""
    place = checkpoint.with_name(f"{SKIPPED}{checkpoint.name}")
    if place.exists():
        remove(place)
    checkpoint.rename(place)


def remove_skipped(folder: Path) -> None:
    """Removes what was set aside: a run that has finished needs none of it."""
    for path in folder.glob(f"{SKIPPED}{PREFIX}*"):
        remove(path)


def prune(folder: Path, limit: int | None, best: Path | None) -> None:
    """Removes all but the newest `limit` (none is removed without one above 0), and the best one."""
    for path in list(checkpoints(folder).values())[: -limit if limit and limit > 0 else 0]:
        if best is None or path.name != best.name:
            remove(path)


def newest_usable(folder: Path) -> Path | None:
    """The newest checkpoint that is as it was written, and whose best one is too; warns of those that are not."""
    found = checkpoints(folder)
    for step, path in reversed(found.items()):
        fault = _fault(path) or _what_it_lacks(path) or _fault_of_state(path, step)
        if fault is None:
            return path
        warn(f"{path} is skipped: {fault}")
    if found:
        warn(f"no checkpoint in {folder} can be used; starting from step 0")
    return None


def _checksums(checkpoint: Path) -> dict[str, dict[str, int | str]]:
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / SEAL_FILE)
    with ThreadPoolExecutor() as threads:  # training waits for it, and hashing leaves the interpreter to others
        sums = list(threads.map(sha256, files))
    return {
        str(path.relative_to(checkpoint)): {"bytes": path.stat().st_size, "sha256": sum_of_it}
        for path, sum_of_it in zip(files, sums, strict=True)
    }


def _fault(checkpoint: Path) -> str | None:
    """What is wrong with it; None if all is as it was sealed."""
    if not (checkpoint / SEAL_FILE).exists():
        return f"it has no {SEAL_FILE}: it was not written to its end, or by an earlier version"
    try:
        sealed, there = read_json(checkpoint / SEAL_FILE), _checksums(checkpoint)
        for name, noted in sealed.items():
            if name not in there:
                return f"{name} is missing"
            if there[name]["bytes"] != noted["bytes"]:
                return f"{name} has {there[name]['bytes']:,} bytes, not {noted['bytes']:,}"
            if there[name] != noted:
                return f"{name} is damaged"
    except Exception as error:  # whatever lies there in its place
        return f"{SEAL_FILE} cannot be read ({type(error).__name__})"
    return None if sealed else f"{SEAL_FILE} names no files"


def _what_it_lacks(checkpoint: Path) -> str | None:
    """What training needs to go on as if nothing had been, and the Trainer does without in silence; None if all is."""
    generators = "rng_state.pth" if world_size() == 1 else f"rng_state_{rank()}.pth"
    lacking = [name for name in ("optimizer.pt", "scheduler.pt", generators) if not (checkpoint / name).is_file()]
    return f"it has no {lacking[0]}; --save_only_model leaves that out" if lacking else None


def _fault_of_state(checkpoint: Path, step: int) -> str | None:
    """What is wrong with its step, or with the best checkpoint up to then, which the run needs at its end."""
    try:
        state = read_json(checkpoint / STATE_FILE)
        noted, best = state["global_step"], state["best_model_checkpoint"]
        best = checkpoint.name if best is None else Path(best).name
    except Exception as error:  # whatever lies there in its place
        return f"{STATE_FILE} cannot be read ({type(error).__name__})"
    if noted != step:
        return f"{STATE_FILE} is of step {noted}"
    fault = best != checkpoint.name and _fault(checkpoint.with_name(best))
    return f"the best one up to then, {best}, is unusable: {fault}" if fault else None
