"""Which model `encode`, `search` and `evaluate` run, and how."""

import argparse
from typing import TYPE_CHECKING

from mixcse.base.console import say
from mixcse.base.fields import at_least, check_range
from mixcse.names import DTYPES, POOLERS

if TYPE_CHECKING:  # torch is imported once the command line is known to be right
    from mixcse.encoder.sentence_encoder import SentenceEncoder


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is to be run."""
    group = parser.add_argument_group("model")
    add = group.add_argument
    add("--model", "--model_name_or_path", dest="model", required=True, help="a trained folder or a Hub id")
    add("--model_revision", metavar="REVISION", help="branch, tag or commit of a Hub model")
    add("--trust_remote_code", action="store_true", help="run the code that the model brings along")
    add(
        "--pooler",
        choices=POOLERS,
        help="default: the one that the model records, else cls_before_pooler, or last for a decoder",
    )
    add("--max_seq_length", type=int, metavar="N", help="tokens; longer sentences are cut (default: the model's limit)")
    add("--batch_size", type=int, default=64, metavar="N", help="sentences of 64 tokens in a forward pass")
    add("--device", help="such as cpu or cuda:1 (default: the GPU if there is one)")
    add("--prompt", metavar="TEXT", help="text before each sentence (default: the one that the model records, if any)")
    add("--dtype", choices=DTYPES, default=DTYPES[0], help="precision of the model")


def load_encoder(options: argparse.Namespace) -> "SentenceEncoder":
    """The encoder that `add_encoder_options` describes; raises UserError if it cannot be loaded."""
    check_range("batch_size", options.batch_size, at_least(1))
    say(f"loading {options.model}")  # the libraries alone take seconds
    from mixcse.encoder.sentence_encoder import SentenceEncoder

    return SentenceEncoder.from_pretrained(
        options.model,
        pooler=options.pooler,
        device=options.device,
        max_seq_length=options.max_seq_length,
        dtype=options.dtype,
        revision=options.model_revision,
        trust_remote_code=options.trust_remote_code,
        prompt=options.prompt,
    )
