"""A tiny random encoder, for benchmarks of everything around the encoder."""

from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

WORDS = "cat dog mat bird house river train teacher sat on ran to saw left found liked near under".split()


def make_bert(folder: Path, tokenizer: Any = None, words: Sequence[str] = (), **sizes: Any) -> None:
    """Write a random BERT, with 16 dimensions unless `sizes` sets others.

    Args:
        tokenizer: default: a tokenizer with `words` (or `WORDS`) and all letters.
        sizes: arguments of BertConfig.
    """
    import torch  # `--help` does not wait for it
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is None:
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(words or WORDS)]
        vocabulary += [*ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
        (folder / "vocab.txt").write_text("\n".join(vocabulary))
        vocab = str(folder / "vocab.txt")
        tokenizer = BertTokenizerFast(vocab=vocab, vocab_file=vocab, model_max_length=64)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2}
    small |= {"max_position_embeddings": 64, "initializer_range": 0.5}
    BertModel(BertConfig(vocab_size=len(tokenizer), **small | sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
