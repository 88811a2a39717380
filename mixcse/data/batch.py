"""Token lists to tensors."""

import zlib

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase


def pad_rows(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]], length: int | None = None) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask`, both (rows, longest) or, with `length`, (rows, length).

    Padding goes to the right whatever the tokenizer prefers: poolers read token 0.
    """
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=tokenizer.pad_token_id or 0)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], batch_first=True)
    if length is not None:
        extra = (0, length - ids.size(1))
        ids = torch.nn.functional.pad(ids, extra, value=tokenizer.pad_token_id or 0)
        mask = torch.nn.functional.pad(mask, extra)
    return {"input_ids": ids, "attention_mask": mask}


class ContrastiveCollator:
    """Batches of sentence groups: every tensor is (batch, num_sent, length), num_sent 1, 2 or 3.

    Args:
        tokenizer: gives the padding and mask tokens.
        pad_to: pad every batch to this many tokens instead of to its own longest row.
        mlm_probability: if given, add `mlm_input_ids` and `mlm_labels`: a masked copy of
            every row, which leaves `input_ids` untouched.  Single sentences have two
            there, masked differently, one for each view.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, pad_to: int | None = None, mlm_probability: float | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.pad_to = pad_to
        self.masker = mlm_probability and DataCollatorForLanguageModeling(tokenizer, mlm_probability=mlm_probability)

    def __call__(self, examples: list[dict[str, list[list[int]]]]) -> dict[str, Tensor]:
        groups = [example["input_ids"] for example in examples]
        rows = pad_rows(self.tokenizer, [row for group in groups for row in group], self.pad_to)
        batch = {name: tensor.view(len(groups), len(groups[0]), -1) for name, tensor in rows.items()}
        if self.masker:
            views = batch["input_ids"].repeat(1, 2 if len(groups[0]) == 1 else 1, 1)
            # By the tokens: batches are made ahead, and a continued run could not draw what was drawn for them.
            self.masker.generator = torch.Generator().manual_seed(zlib.crc32(views.numpy().tobytes()))
            ids, labels = self.masker.torch_mask_tokens(views.flatten(0, 1).clone())
            batch["mlm_input_ids"], batch["mlm_labels"] = ids.view_as(views), labels.view_as(views)
        return batch
