"""The output folder of a training run: what an earlier run left there, and what this one writes."""

import dataclasses
import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mixcse.base.errors import UserError
from mixcse.base.files import ASIDE, check_place, read_json, remove_asides, write_json
from mixcse.base.group import world_size
from mixcse.model.lora import ADAPTER_FILES, ADAPTER_FOLDER
from mixcse.model.saving import MODEL_FILES, MODULE_FOLDERS
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.checkpoints import PREFIX, STATE_FILE, checkpoints, remove, remove_skipped, set_aside
from mixcse.train.parsing import CHECKSUM, PROCESSES

ARGUMENTS_FILE = "arguments.json"
FINISHED_FILE = "train_results.json"  # written last
SCORES_FILE, CURVES_FILE, CARD_FILE = "eval_results.json", "curves.png", "README.md"
WRITTEN_FILES = (
    ARGUMENTS_FILE, FINISHED_FILE, STATE_FILE, SCORES_FILE, CURVES_FILE, CARD_FILE, *MODEL_FILES, *ADAPTER_FILES,
)  # fmt: skip
LOCK_FILE = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without any answer
# Options that say how or where a run goes, not what it computes.
NOT_COMPARED = {
    "output_dir", "overwrite_output_dir", "overwrite_cache", "preprocessing_num_workers", "disable_tqdm",
    "dataloader_num_workers", "dataloader_pin_memory", "senteval_data", "cache_dir", "local_rank", "log_level",
    "ddp_timeout", "push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push",
    "hub_revision",
}  # fmt: skip

# Prefixes of options that the model card leaves out: how a run is watched, and what the card has elsewhere.
NOT_SHOWN = (
    "do_train", "do_eval", "eval_", "validation_file", "metric_for_", "greater_is_", "load_best_", "save_", "logging_",
    "report_to", "run_name", "project", "train_file", "dataset_name", "model_name_or_path", "trust_remote_code",
    "label_names", "use_cpu", "ddp_", *NOT_COMPARED,
)  # fmt: skip


class RunFolder:
    """`--output_dir` with the resolved options of the run that is to go there.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, path: str | Path, options: dict[str, Any]) -> None:
        self.path = Path(path)
        self.options = options
        check_place(self.path, "--output_dir")

    @property
    def finished(self) -> bool:
        """Whether a run with these options went to its end here."""
        files = (self.path / FINISHED_FILE, self.path / "model.safetensors")
        return all(file.is_file() and file.stat().st_size for file in files)  # a power cut can leave empty ones

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes off the folder, which is made if need be, and removed if it is empty at the end.

        The lock ends with this process, however that ends.  Where the file system has no locks, there is none.

        Raises:
            UserError: another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK_FILE)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise UserError(
                f"--output_dir {self.path}: another run is writing there; wait for its end, or name another"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        try:
            yield
        finally:
            with suppress(OSError):  # the folder has gone, or its disk
                (self.path / LOCK_FILE).unlink()
                self.path.rmdir()  # only if it is empty: the run has not begun
            lock.release()

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
        try:  # an earlier version did not have all options
            earlier = default_options() | {PROCESSES: 1} | dict(read_json(file))
        except (ValueError, TypeError) as error:
            raise UserError(f"{file} is damaged ({error}); pass --overwrite_output_dir to start afresh") from error
        changed = [
            f"--{name} was {earlier.get(name)}, now {value}"
            for name, value in self.options.items()
            if name not in NOT_COMPARED and earlier.get(name) != value
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
            inside = Path(name).resolve()
            part = str(inside.relative_to(here)) if inside.is_relative_to(here) else ""
            if part == "." or part.startswith((PREFIX, ASIDE)) or part in (*WRITTEN_FILES, ADAPTER_FOLDER):
                raise UserError(
                    f"--output_dir {self.path}: --overwrite_output_dir would replace {name}, which the run needs; "
                    "name another folder"
                )

    def begin(self, checkpoint: Path | None = None, *, afresh: bool = False) -> None:
        """Takes the folder over: notes the options; sets checkpoints aside that the run will not use, but writes anew.

        Args:
            checkpoint: where it continues from, if it does.
            afresh: everything that an earlier run wrote is removed.
        """
        remove_asides(self.path)
        continued = int(checkpoint.name.removeprefix(PREFIX)) if checkpoint else 0
        for step, path in checkpoints(self.path).items():
            if step > continued:
                (remove if afresh else set_aside)(path)
        if afresh and (self.path / ARGUMENTS_FILE).exists():
            remove_skipped(self.path)
            for name in WRITTEN_FILES:
                (self.path / name).unlink(missing_ok=True)
            for name in (*MODULE_FOLDERS, ADAPTER_FOLDER):
                with suppress(OSError):  # it is not there, or holds files of someone else's
                    (self.path / name).rmdir()
        write_json(self.path / ARGUMENTS_FILE, self.options)


def resolved_options(
    model_args: ModelArguments, data_args: DataArguments, args: TrainArguments, checksum: str | None
) -> dict[str, Any]:
    """Return all options with their values, flat and in JSON's types, the corpus' checksum and the processes."""
    options: dict[str, Any] = {CHECKSUM: checksum, PROCESSES: world_size()}
    for values in (dataclasses.asdict(model_args), dataclasses.asdict(data_args), args.to_dict()):
        options |= {name: value for name, value in values.items() if not name.startswith("_")}
    if data_args.train_file and len(data_args.train_file) == 1:
        options["train_file"] = data_args.train_file[0]
    return json.loads(json.dumps(options, default=str))


@cache
def default_options() -> dict[str, Any]:
    """The defaults of all options that have a plain one, in JSON's types, as `arguments.json` has them."""
    fields = (field for group in (ModelArguments, DataArguments, TrainArguments) for field in dataclasses.fields(group))
    plain = (str, int, float, bool, type(None))
    return json.loads(json.dumps({field.name: field.default for field in fields if isinstance(field.default, plain)}))


def changed_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a run that differ from their defaults, without folders and those of `NOT_SHOWN`."""
    changed = {}
    for name, default in default_options().items():
        value = options.get(name, default)
        # What transformers makes of None is no change, but a dropout of 0.0 is.
        given = bool(value or default or isinstance(value, float)) and not isinstance(value, dict)
        if given and value != default and not name.startswith(NOT_SHOWN):
            changed[name] = Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
    return changed
