"""Pushing to the Hugging Face Hub: whether it can be done at all, and what is uploaded."""

import shlex
from typing import Any

from huggingface_hub import HfApi, constants, get_token
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy
from transformers.utils import PushInProgress

from mixcse.base.errors import UserError, first_line
from mixcse.model.lora import ADAPTER_FOLDER
from mixcse.train.arguments import TrainArguments
from mixcse.train.folder import ARGUMENTS_FILE

# These name folders of this machine; the model card tells the options without them.
WITH_PATHS = [ARGUMENTS_FILE, "trainer_state.json", "runs/*", f"{ADAPTER_FOLDER}/README.md"]
IGNORED = ["_*", ".*", f"{PREFIX_CHECKPOINT_DIR}-*", *WITH_PATHS]


def check_hub(args: TrainArguments) -> None:
    """Raises UserError if the run is to be pushed and cannot be: offline, or without a token that the Hub takes."""
    if not args.push_to_hub:
        return
    if constants.HF_HUB_OFFLINE:
        raise UserError("--push_to_hub: HF_HUB_OFFLINE is set; unset it, or leave --push_to_hub out")
    token = args.hub_token or get_token()
    if token is None:
        raise UserError("--push_to_hub: not logged in to the Hub; run hf auth login, set HF_TOKEN, or give --hub_token")
    try:
        HfApi().whoami(token=token)
    except Exception as error:  # of the network, or of the Hub
        raise UserError(f"--push_to_hub: the Hub was not reached or refuses the token ({first_line(error)})") from error


def push(trainer: Trainer) -> None:
    """The finished model with its card; raises UserError naming what does it later.

    As the Trainer's `push_to_hub`, but without what names folders of this machine.
    """
    if not trainer.is_world_process_zero():
        return
    args = trainer.args
    try:
        trainer._finish_current_push()
        _upload(trainer, "End of training")
    except Exception as error:  # of the network, or of the Hub
        finished = f"{args.output_dir} is finished, but was not pushed ({first_line(error)})"
        raise UserError(f"{finished}; {how_to_push(args)}") from error


def how_to_push(args: TrainArguments) -> str:
    """The command that pushes a finished folder."""
    excluded = [word for pattern in IGNORED for word in ("--exclude", pattern)]
    command = ["hf", "upload", args.hub_model_id or "USER/NAME", args.output_dir, ".", *excluded]
    return f"to push it: {shlex.join(command)}"


def push_checkpoint(trainer: Trainer, folder: str) -> None:
    """As the Trainer's `_push_from_checkpoint`, but with all files of the model, and without a pickle of the options.

    (That pickle would hold `--hub_token`.)
    """
    args, step, pending = trainer.args, trainer.state.global_step, trainer.push_in_progress
    busy = pending is not None and not pending.is_done()
    if (
        not trainer.is_world_process_zero()
        or args.hub_strategy == HubStrategy.END
        or (busy and not args.hub_always_push)
    ):
        return
    trainer._save()
    trainer.create_model_card()
    message = f"Training in progress, step {step}"
    jobs = [_upload(trainer, message, run_as_future=True)]
    places = {HubStrategy.CHECKPOINT: "last-checkpoint", HubStrategy.ALL_CHECKPOINTS: f"{PREFIX_CHECKPOINT_DIR}-{step}"}
    if place := places.get(args.hub_strategy):
        what = {"folder_path": folder, "path_in_repo": place, "ignore_patterns": [f"{ADAPTER_FOLDER}/README.md"]}
        jobs.append(_upload(trainer, message, run_as_future=True, **what))
    trainer.push_in_progress = PushInProgress([*(pending.jobs if busy else ()), *jobs])


def _upload(trainer: Trainer, message: str, **options: Any) -> Any:
    """Of the output folder, unless `options` names another."""
    args = trainer.args
    where = {"repo_id": trainer.hub_model_id, "token": args.hub_token, "revision": args.hub_revision}
    what = {"folder_path": args.output_dir, "ignore_patterns": IGNORED} | options
    return HfApi().upload_folder(commit_message=message, **where, **what)
