"""Uploading a trained model to the Hugging Face Hub: once, after training."""

from pathlib import Path

from huggingface_hub import HfApi
from transformers.trainer_utils import HubStrategy

from mixcse.base.errors import UserError, first_line
from mixcse.model.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from mixcse.model.saving import MODEL_FILES
from mixcse.train.arguments import TrainArguments
from mixcse.train.folder import CARD_FILE, CURVES_FILE, FINISHED_FILE, SCORES_FILE

# Neither the log nor arguments.json, which name folders of this machine.
UPLOADED = [*MODEL_FILES, ADAPTER_WEIGHTS, ADAPTER_CONFIG, CARD_FILE, CURVES_FILE, SCORES_FILE, FINISHED_FILE]


def check_hub(args: TrainArguments) -> None:
    """Complete `hub_model_id` with the user's name if the model is to be uploaded.

    Raises:
        UserError: it could not be uploaded: offline, without a token, or with one that the Hub refuses; or
            something else than one upload is asked for.
    """
    if not args.push_to_hub:
        return
    if args.hub_strategy not in (HubStrategy.EVERY_SAVE, HubStrategy.END):  # the default, and what is done
        raise UserError("--hub_strategy: the model is uploaded once, after training; leave it out")
    try:
        user = HfApi(token=args.hub_token).whoami()["name"]
    except Exception as error:  # of the network, or of the Hub
        raise UserError(f"--push_to_hub: not possible with this token or network ({first_line(error)})") from error
    name = args.hub_model_id or Path(args.output_dir).absolute().name
    args.hub_model_id = name if "/" in name else f"{user}/{name}"


def upload(args: TrainArguments) -> None:
    """Upload the finished model with its card; raise UserError if the Hub does not take it."""
    try:
        api = HfApi(token=args.hub_token)
        api.create_repo(args.hub_model_id, private=args.hub_private_repo, exist_ok=True)
        api.upload_folder(
            repo_id=args.hub_model_id, folder_path=args.output_dir, allow_patterns=UPLOADED, revision=args.hub_revision
        )
    except Exception as error:  # of the network, or of the Hub
        what = f"{args.output_dir} is finished, but was not uploaded ({first_line(error)})"
        raise UserError(f"{what}; the same command uploads it") from error
