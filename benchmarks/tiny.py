"""A tiny random encoder and made-up sentences, for benchmarks of what surrounds them."""

import random
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

WORDS = "the a cat dog mat bird house river train teacher sat on ran to saw left found liked near under".split()


def make_bert(folder: Path, tokenizer: Any = None, words: Sequence[str] = (), **sizes: Any) -> None:
    """Writes a random BERT, of 16 dimensions if `sizes` has no others.

    Args:
        tokenizer: without it, one that knows `words`, by default `WORDS`, and all letters.
        sizes: arguments of BertConfig.
    """
    import torch  # `--help` does not wait for it
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is None:
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(words or WORDS[2:])]
        vocabulary += [*ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
        (folder / "vocab.txt").write_text("\n".join(vocabulary))
        vocab = str(folder / "vocab.txt")
        tokenizer = BertTokenizerFast(vocab=vocab, vocab_file=vocab, model_max_length=64)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2}
    small |= {"max_position_embeddings": 64, "initializer_range": 0.5}
    BertModel(BertConfig(vocab_size=len(tokenizer), **small | sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def sentences(draw: random.Random, count: int) -> list[str]:
    """Of 3 to 12 words."""
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in range(count)]


def make_corpus(folder: Path, lines: int, pairs: int) -> tuple[Path, Path]:
    """Writes sentences to train on, and scored pairs."""
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    train, dev = folder / "train.txt", folder / "pairs.csv"
    train.write_text("\n".join(sentences(draw, lines)))
    rows = zip(sentences(draw, pairs), sentences(draw, pairs), strict=True)
    dev.write_text("\n".join(["sentence1,sentence2,score", *(f"{a},{b},{draw.random():.3f}" for a, b in rows)]))
    return train, dev
