"""The text before each sentence that a model wants: an instruction, or a word such as `query:`."""

from transformers import PreTrainedTokenizerBase

from mixcse.base.errors import UserError
from mixcse.model.first_token import POOLERS_OF_FIRST_TOKEN


def left_out_of_pooling(
    prompt: str, tokenizer: PreTrainedTokenizerBase, *, pooler: str, max_length: int, include_prompt: bool
) -> int:
    """How many tokens at the start of each row are not pooled: those of the prompt, or none.

    Args:
        max_length: of a row, in tokens.
        include_prompt: whether the model pools them; as sentence-transformers has it.

    Raises:
        UserError: it is no Unicode, leaves no room for a sentence, or a pooler of one token would have to leave it out.
    """
    if not prompt:
        return 0
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the prompt is no Unicode text: {error.reason}, {ascii(prompt[error.start])}") from error
    ids = tokenizer(prompt)["input_ids"]
    if len(ids) >= max_length:
        raise UserError(
            f"the prompt has {len(ids)} tokens, which leaves no room for a sentence in the {max_length} of "
            "max_seq_length; raise it, or take a shorter prompt"
        )
    if include_prompt:
        return 0
    if pooler in POOLERS_OF_FIRST_TOKEN:
        raise UserError(f"this model leaves its prompt out of pooling, and pooler {pooler} reads the first token alone")
    return len(ids) - (ids[-1] in tokenizer.all_special_ids)
