"""Pushing to the Hugging Face Hub: whether it can be done at all, and what is uploaded."""

import shlex
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, constants, get_token
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy
from transformers.utils import PushInProgress

from mixcse.base.errors import UserError, first_line
from mixcse.model.lora import ADAPTER_FOLDER
from mixcse.train.arguments import TrainArguments
from mixcse.train.folder import ARGUMENTS_FILE, REPORT_FILE

if TYPE_CHECKING:
    from mixcse.train.trainer import MixCSETrainer

# These name folders of this machine; the model card tells the options without them.
WITH_PATHS = [ARGUMENTS_FILE, REPORT_FILE, "trainer_state.json", "runs/*", f"{ADAPTER_FOLDER}/README.md"]
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


def push(trainer: "MixCSETrainer") -> None:
    """The finished model with its card; raises UserError naming what does it later.

    As the Trainer's `push_to_hub`, but without what names folders of this machine.
    """
    if not trainer.is_world_process_zero():
        return
    args = trainer.args
    try:
        trainer._finish_current_push()
        HfApi().upload_folder(
            repo_id=trainer.hub_model_id,
            folder_path=args.output_dir,
            ignore_patterns=IGNORED,
            commit_message="End of training",
            token=args.hub_token,
            revision=args.hub_revision,
        )
    except Exception as error:  # of the network, or of the Hub
        finished = f"{args.output_dir} is finished, but was not pushed ({first_line(error)})"
        raise UserError(f"{finished}; {how_to_push(args)}") from error


def how_to_push(args: TrainArguments) -> str:
    """The command that pushes a finished folder."""
    excluded = [word for pattern in IGNORED for word in ("--exclude", pattern)]
    return (
        f"to push it: {shlex.join(['hf', 'upload', args.hub_model_id or 'USER/NAME', args.output_dir, '.', *excluded])}"
    )


def push_checkpoint(trainer: "MixCSETrainer", folder: str) -> None:
    """As the Trainer's `_push_from_checkpoint`, but with all files of the model, and without a pickle of the options.

    (That pickle would hold `--hub_token`.)
    """
    args = trainer.args
    if not trainer.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
        return
    pending = trainer.push_in_progress
    busy = pending is not None and not pending.is_done()
    if busy and not args.hub_always_push:
        return
    trainer._save()
    trainer.create_model_card()
    message = f"Training in progress, step {trainer.state.global_step}"
    options = {"repo_id": trainer.hub_model_id, "token": args.hub_token, "revision": args.hub_revision}
    options |= {"commit_message": message, "run_as_future": True}
    jobs = [HfApi().upload_folder(folder_path=args.output_dir, ignore_patterns=IGNORED, **options)]
    if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
        last = args.hub_strategy == HubStrategy.CHECKPOINT
        place = "last-checkpoint" if last else f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"
        left_out = [f"{ADAPTER_FOLDER}/README.md"]
        jobs.append(HfApi().upload_folder(folder_path=folder, path_in_repo=place, ignore_patterns=left_out, **options))
    if busy:
        pending.jobs.extend(jobs)
    else:
        trainer.push_in_progress = PushInProgress(jobs)
