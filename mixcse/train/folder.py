"""The output folder of a training run: what an earlier run left there, and what this one writes."""

import dataclasses
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mixcse.base.errors import UserError
from mixcse.base.files import ASIDE, check_place, read_json, remove_asides, sha256, write_json
from mixcse.base.group import world_size
from mixcse.data.reading import expand_files
from mixcse.model.lora import ADAPTER_FILES, ADAPTER_FOLDER
from mixcse.model.saving import MODULE_FILES, MODULE_FOLDERS, MODULES_FILE, TRANSFORMER_FILE
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.checkpoints import PREFIX, checkpoints, remove, remove_skipped, set_aside
from mixcse.train.parsing import CHECKSUM, PROCESSES

ARGUMENTS_FILE = "arguments.json"
FINISHED_FILE = "train_results.json"  # written last
COSINES_FILE, SCORES_FILE = "cosines.json", "eval_results.json"
REPORT_FILE, CURVES_FILE = "report.html", "curves.png"
WRITTEN_FILES = (
    ARGUMENTS_FILE, FINISHED_FILE, COSINES_FILE, REPORT_FILE, CURVES_FILE, SCORES_FILE, "trainer_state.json",
    "config.json", "model.safetensors", "mixcse_heads.safetensors", "README.md", MODULES_FILE, TRANSFORMER_FILE,
    *(f"{folder}/{file}" for folder in MODULE_FOLDERS for file in MODULE_FILES), *ADAPTER_FILES,
)  # fmt: skip
LOCK_FILE = ".lock"
# Options that say how or where a run goes, not what it computes.
NOT_COMPARED = {
    "output_dir", "overwrite_output_dir", "overwrite_cache", "preprocessing_num_workers", "disable_tqdm",
    "dataloader_num_workers", "dataloader_pin_memory", "senteval_data", "cache_dir", "local_rank", "log_level",
    "ddp_timeout", "push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push",
    "hub_revision",
}  # fmt: skip


class RunFolder:
    """`--output_dir` with the resolved options of the run that is to go there.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, path: str | Path, options: dict[str, Any]) -> None:
        self.path = Path(path)
        self.options = options
        self._lock: int | None = None
        check_place(self.path, "--output_dir")

    @property
    def finished(self) -> bool:
        """Whether a run with these options went to its end here."""
        files = (self.path / FINISHED_FILE, self.path / "model.safetensors")
        return all(file.is_file() and file.stat().st_size for file in files)  # a power cut can leave empty ones

    @property
    def holds_a_run(self) -> bool:
        """Whether one has begun here."""
        return (self.path / ARGUMENTS_FILE).exists()

    def check_earlier_run(self) -> None:
        """Raises UserError if something lies here that this run would neither continue nor repeat."""
        if not self.path.exists() or all(path.name.startswith(".") for path in self.path.iterdir()):
            return  # at most what a run left that was killed while it began
        file = self.path / ARGUMENTS_FILE
        if not file.is_file():
            raise UserError(
                f"--output_dir {self.path} is not empty and no run of train.py; name another, "
                "or pass --overwrite_output_dir"
            )
        try:
            earlier = {PROCESSES: 1} | dict(read_json(file))
        except (ValueError, TypeError) as error:
            raise UserError(f"{file} is damaged ({error}); pass --overwrite_output_dir to start afresh") from error
        defaults = _defaults()  # of options that an earlier version did not have
        changed = [
            f"--{name} was {earlier.get(name)}, now {value}"
            for name, value in self.options.items()
            if name not in NOT_COMPARED and earlier.get(name, defaults.get(name)) != value
        ]
        if changed:
            raise UserError(
                f"--output_dir {self.path} holds a run with other options ({'; '.join(changed[:3])}); "
                "name another folder, or pass --overwrite_output_dir to start afresh"
            )

    def check_inputs_stay(self, inputs: Iterable[str | Path]) -> None:
        """Raises UserError if starting afresh here would remove or replace what the run is made from."""
        here = self.path.resolve()
        for name in filter(os.path.exists, inputs):
            inside = Path(os.path.realpath(name))
            if inside != here and here not in inside.parents:
                continue
            part = inside.relative_to(here)
            first = part.parts[0] if part.parts else ""
            if inside == here or first.startswith((PREFIX, ASIDE)) or str(part) in (*WRITTEN_FILES, ADAPTER_FOLDER):
                raise UserError(
                    f"--output_dir {self.path}: --overwrite_output_dir would replace {name}, which the run needs; "
                    "name another folder"
                )

    def lock(self) -> None:
        """Keeps other processes off the folder, which is made if need be, until this one ends or calls `release`.

        Where the file system has no locks, there is none.

        Raises:
            UserError: another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        while self._lock is None:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # workers do not inherit it, as flock's
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    os.close(descriptor)
                    raise UserError(
                        f"--output_dir {self.path}: another run is writing there; wait for its end, or name another"
                    ) from error
            if _is_file(descriptor, self.path / LOCK_FILE):
                self._lock = descriptor
            else:  # its owner removed it after it was opened here
                os.close(descriptor)

    def release(self) -> None:
        """Lets others have the folder."""
        if self._lock is not None:
            with suppress(OSError):  # the folder has gone, or its disk
                (self.path / LOCK_FILE).unlink()
            os.close(self._lock)
            self._lock = None

    def begin(self, checkpoint: Path | None = None, *, afresh: bool = False) -> None:
        """Takes the folder over: notes the options; sets checkpoints aside that the run will not use, but writes anew.

        Args:
            checkpoint: where it continues from, if it does.
            afresh: everything that an earlier run wrote is removed.

        Raises:
            UserError: another process is writing here, or has begun a run since this one looked.
        """
        if self._lock is None:  # there was no run here
            self.lock()
            if self.holds_a_run and not afresh:
                raise UserError(f"--output_dir {self.path}: another run began there meanwhile; name another folder")
        remove_asides(self.path)
        continued = int(checkpoint.name.removeprefix(PREFIX)) if checkpoint else 0
        for step, path in checkpoints(self.path).items():
            if step > continued:
                (remove if afresh else set_aside)(path)
        if afresh:
            remove_skipped(self.path)
            for name in WRITTEN_FILES:
                (self.path / name).unlink(missing_ok=True)
            for name in (*MODULE_FOLDERS, ADAPTER_FOLDER):
                with suppress(OSError):  # it is not there, or holds files of someone else's
                    (self.path / name).rmdir()
        write_json(self.path / ARGUMENTS_FILE, self.options)


def resolved_options(data_args: DataArguments, *groups: Any) -> dict[str, Any]:
    """All options with their values, flat and in JSON's types, the training data's checksum and the processes."""
    options: dict[str, Any] = {CHECKSUM: _checksum(data_args), PROCESSES: world_size()}
    for group in groups:
        values = group.to_dict() if isinstance(group, TrainArguments) else dataclasses.asdict(group)
        options |= {name: value for name, value in values.items() if not name.startswith("_")}
    if data_args.train_file and len(data_args.train_file) == 1:
        options["train_file"] = data_args.train_file[0]
    return json.loads(json.dumps(options, default=str))


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _defaults() -> dict[str, Any]:
    fields = (field for group in (ModelArguments, DataArguments, TrainArguments) for field in dataclasses.fields(group))
    return {field.name: field.default for field in fields}


def _checksum(data_args: DataArguments) -> str | None:
    """Of the training file, of several together, or of a data set's folder; None of one from the Hub."""
    if data_args.dataset_name:
        files = sorted(path for path in Path(data_args.dataset_name).rglob("*") if path.is_file())
    else:
        files = expand_files(data_args.train_file)
    sums = [sha256(path) for path in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest() if sums else None
