"""What `encode` and `search` have in common, and how `evaluate` as well finds a model."""

import argparse
from typing import TYPE_CHECKING

from mixcse.base.errors import UserError
from mixcse.names import DTYPES, POOLERS

if TYPE_CHECKING:  # torch is imported once the command line is known to be right
    from mixcse.encoder.sentence_encoder import SentenceEncoder


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is to be run."""
    group = parser.add_argument_group("model")
    add = group.add_argument
    add("--model", "--model_name_or_path", dest="model", required=True, help="a trained folder or a Hub id")
    add_hub_options(group)
    add("--pooler", choices=POOLERS, help="default: the one that the model records, else cls_before_pooler")
    add("--max_seq_length", type=int, metavar="N", help="tokens; longer sentences are cut (default: the model's limit)")
    add("--batch_size", type=int, default=64, metavar="N", help="sentences of 64 tokens in a forward pass")
    add("--device", help="such as cpu or cuda:1 (default: the GPU if there is one)")
    add("--dtype", choices=DTYPES, default=DTYPES[0], help="precision of the model")


def add_hub_options(parser: argparse._ActionsContainer) -> None:
    """Which state of a Hub model, and whether its own code may be run."""
    parser.add_argument("--model_revision", metavar="REVISION", help="branch, tag or commit of a Hub model")
    parser.add_argument("--trust_remote_code", action="store_true", help="run the code that the model brings along")


def load_encoder(options: argparse.Namespace) -> "SentenceEncoder":
    """The encoder that `add_encoder_options` describes; raises UserError if it cannot be loaded."""
    if options.batch_size < 1:
        raise UserError(f"--batch_size must be at least 1, not {options.batch_size}")
    from mixcse.encoder.sentence_encoder import SentenceEncoder

    return SentenceEncoder.from_pretrained(
        options.model,
        pooler=options.pooler,
        device=options.device,
        max_seq_length=options.max_seq_length,
        dtype=options.dtype,
        revision=options.model_revision,
        trust_remote_code=options.trust_remote_code,
    )
