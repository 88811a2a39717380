"""The checkpoints of a run: completed by checksums, verified before they are used.

The Trainer writes a checkpoint; `checksums.json` is added last.  A process that is killed leaves a
checkpoint without it, which the next run skips.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mixcse.base.console import warn
from mixcse.base.files import ASIDE, read_json, sha256, write_json
from mixcse.base.group import rank, world_size

CHECKSUMS_FILE = "checksums.json"
STATE_FILE = "trainer_state.json"
PREFIX = "checkpoint-"
SKIPPED = "skipped-"  # prefix of checkpoints that a resumed run did not use


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a run's folder by step, in the order of steps: clocks can be set back."""
    numbered = ((path.name.removeprefix(PREFIX), path) for path in folder.glob(f"{PREFIX}*") if path.is_dir())
    return dict(sorted((int(number), path) for number, path in numbered if number.isdecimal()))


def complete_checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoints that have checksums, by step; their content is not verified."""
    return {step: path for step, path in checkpoints(folder).items() if (path / CHECKSUMS_FILE).exists()}


def how_to_resume(folder: Path) -> str:
    """Return where the same command resumes a stopped run, for messages."""
    last = max(complete_checkpoints(folder), default=None)
    return f"the same command {'starts again' if last is None else f'goes on from step {last}'}"


def write_checksums(checkpoint: Path) -> None:
    """Write the size and SHA-256 of every file of a complete checkpoint; without them it is not used."""
    write_json(checkpoint / CHECKSUMS_FILE, _checksums(checkpoint))


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint; rename it first, so that a half-deleted one is not taken for a checkpoint."""
    gone = checkpoint.with_name(f"{ASIDE}gone-{checkpoint.name}")
    if gone.exists():
        shutil.rmtree(gone)
    checkpoint.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)  # NFS keeps what is open, such as an upload; the next run removes it


def set_aside(checkpoint: Path) -> None:
    """Rename a checkpoint that is not used: the read error may be transient, so it is kept until the run has ended."""
    place = checkpoint.with_name(f"{SKIPPED}{checkpoint.name}")
    if place.exists():
        remove(place)
    checkpoint.rename(place)


def remove_skipped(folder: Path) -> None:
    """Remove the checkpoints that `set_aside` renamed."""
    for path in folder.glob(f"{SKIPPED}{PREFIX}*"):
        remove(path)


def prune(folder: Path, limit: int | None, best: Path | None) -> None:
    """Remove all but the newest `limit` checkpoints and the best one; without a limit above 0, remove none."""
    for path in list(checkpoints(folder).values())[: -limit if limit and limit > 0 else 0]:
        if best is None or path.name != best.name:
            remove(path)


def newest_usable(folder: Path) -> Path | None:
    """Return the newest checkpoint that is intact, and whose best checkpoint is; warn about each that is skipped."""
    found = checkpoints(folder)
    for path in reversed(found.values()):
        fault = _fault(path) or _what_it_lacks(path) or _fault_of_best(path)
        if fault is None:
            return path
        warn(f"{path} is skipped: {fault}")
    if found:
        warn(f"no checkpoint in {folder} can be used; starting from step 0")
    return None


def _checksums(checkpoint: Path) -> dict[str, dict[str, int | str]]:
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / CHECKSUMS_FILE)
    with ThreadPoolExecutor() as threads:  # training waits for it, and hashing leaves the interpreter to others
        sums = list(threads.map(sha256, files))
    return {
        str(path.relative_to(checkpoint)): {"bytes": path.stat().st_size, "sha256": sum_of_it}
        for path, sum_of_it in zip(files, sums, strict=True)
    }


def _fault(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint's files; None if they match their checksums."""
    if not (checkpoint / CHECKSUMS_FILE).exists():
        return f"it has no {CHECKSUMS_FILE}: the run was killed while writing it, or an earlier version wrote it"
    try:
        recorded, found = read_json(checkpoint / CHECKSUMS_FILE), _checksums(checkpoint)
        for name, expected in recorded.items():
            if name not in found:
                return f"{name} is missing"
            if found[name]["bytes"] != expected["bytes"]:
                return f"{name} has {found[name]['bytes']:,} bytes, not {expected['bytes']:,}"
            if found[name] != expected:
                return f"{name} is damaged"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # the file may hold anything
        return f"{CHECKSUMS_FILE} cannot be read ({type(error).__name__})"
    return None if recorded else f"{CHECKSUMS_FILE} names no files"


def _what_it_lacks(checkpoint: Path) -> str | None:
    """Return which file of the training state is missing (the Trainer would resume without it); None if none is."""
    generators = "rng_state.pth" if world_size() == 1 else f"rng_state_{rank()}.pth"
    lacking = [name for name in ("optimizer.pt", "scheduler.pt", generators) if not (checkpoint / name).is_file()]
    return f"it has no {lacking[0]}; --save_only_model leaves that out" if lacking else None


def _fault_of_best(checkpoint: Path) -> str | None:
    """Return what is wrong with the best checkpoint up to this one; None if nothing is."""
    best = Path(read_json(checkpoint / STATE_FILE)["best_model_checkpoint"] or checkpoint).name
    fault = best != checkpoint.name and _fault(checkpoint.with_name(best))
    return f"the best one up to then, {best}, is unusable: {fault}" if fault else None
