"""Tiny random encoders of eight families and decoders of five, each with its own kind of tokenizer."""

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    BertTokenizer,
    DebertaV2Tokenizer,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    MPNetTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

LENGTH = 40  # tokens in the longest input of each
LETTERS = list(string.ascii_lowercase + ".,'")
WORDS = ["the", "cat", "dog", "sat", "ran", "mat"]
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the")]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NAMED = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
MPNET = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,  # large, so that a random model tells sentences apart
    "max_position_embeddings": LENGTH,
}
COUNTED_FROM_PADDING = {"max_position_embeddings": LENGTH + 2}  # RoBERTa's kind
OTHER_SIZES = {
    "distilbert": {"hidden_dim": 32},
    "roberta": COUNTED_FROM_PADDING,
    "xlm-roberta": COUNTED_FROM_PADDING,
    "mpnet": COUNTED_FROM_PADDING,
    "electra": {"embedding_size": 8},
    # As microsoft/deberta-v3-base, in small.
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
}
FAMILIES = ("bert", "distilbert", "electra", "mpnet", "roberta", "modernbert", "xlm-roberta", "deberta-v2")
# Of each decoder's tokenizer: the special tokens that it has, and what it puts around a text.
DECODERS = {
    "gpt2": ({"eos_token": "</s>"}, "$A"),
    "llama": ({"bos_token": "<s>", "eos_token": "</s>"}, "<s> $A"),
    "mistral": ({"bos_token": "<s>", "eos_token": "</s>", "padding_side": "left"}, "<s> $A"),
    "qwen3": ({"eos_token": "</s>", "pad_token": "<pad>", "padding_side": "left"}, "$A </s>"),
    "gemma": ({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}, "<s> $A"),
}


def tokenizer_of(family: str) -> PreTrainedTokenizerBase:
    """WordPiece, byte-level BPE or Unigram, over letters and a few words."""
    options = {"model_max_length": LENGTH}
    if family == "mpnet":
        return MPNetTokenizer(vocab=_pieces(MPNET), **options)
    if family == "roberta":
        return RobertaTokenizer(vocab=_bytes(ROBERTA), merges=MERGES, **options)
    if family == "xlm-roberta":
        return XLMRobertaTokenizer(vocab=_scores(ROBERTA), **options)
    if family == "deberta-v2":
        return DebertaV2Tokenizer(vocab=_scores(BERT), **options)
    if family == "modernbert":
        ends = {name: f"[{name.partition('_')[0].upper()}]" for name in NAMED}
        return byte_level(ends | {"model_input_names": ["input_ids", "attention_mask"]}, "[CLS] $A [SEP]", BERT)
    return BertTokenizer(vocab=_pieces(BERT), **options)


def write_family(folder: Path, family: str, *, masked_lm: bool = False, **changes: object) -> Path:
    """A folder with a random encoder of the family, as the Hub has them (a masked-LM head on top, with `masked_lm`)."""
    tokenizer = tokenizer_of(family)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep")}
    special |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    config = AutoConfig.for_model(
        family, **SIZES | OTHER_SIZES.get(family, {}) | {"vocab_size": len(tokenizer)} | special | changes
    )
    torch.manual_seed(0)
    (AutoModelForMaskedLM if masked_lm else AutoModel).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _pieces(special: list[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate([*special, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)])}


def _bytes(special: list[str]) -> dict[str, int]:
    pieces = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the", "Ġthe"]
    return {piece: i for i, piece in enumerate(pieces)}


def _scores(special: list[str]) -> list[tuple[str, float]]:
    words = [(f"▁{word}", -2.0) for word in WORDS]
    return [*((piece, 0.0) for piece in special), *words, ("▁", -4.0), *((letter, -5.0) for letter in LETTERS)]


def byte_level(names: dict[str, object], around: str, special: list[str]) -> PreTrainedTokenizerBase:
    """As ModernBERT's and most decoders': `names` of special tokens, and what stands around a text."""
    backend = Backend(models.BPE(vocab=_bytes(special), merges=MERGES))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ends = [(token, special.index(token)) for token in around.split() if token != "$A"]
    backend.post_processor = processors.TemplateProcessing(single=around, special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=LENGTH, **names)


def write_decoder(folder: Path, family: str, **changes: object) -> Path:
    """A folder with a random decoder of the family."""
    names, around = DECODERS.get(family, DECODERS["llama"])
    tokenizer = byte_level(names, around, ROBERTA)
    tokenizer.model_max_length = changes.get("max_position_embeddings", LENGTH)
    sizes = SIZES | {"vocab_size": len(tokenizer), "head_dim": 8, "num_key_value_heads": 1}
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(family, **sizes | special | changes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_folder(folder: Path, tokenizer: PreTrainedTokenizerBase, sizes: dict[str, int], kind: str) -> Path:
    """A folder with a random encoder of this kind, whatever its tokenizer was made for."""
    positions = sizes | {"max_position_embeddings": 66}  # these count from padding_idx + 1
    config = {
        "bert": lambda: BertConfig(**sizes),
        "roberta": lambda: RobertaConfig(**positions, pad_token_id=1),
        "mpnet": lambda: MPNetConfig(**positions, pad_token_id=1),
        "electra": lambda: ElectraConfig(**sizes, embedding_size=16),
        "distilbert": lambda: DistilBertConfig(
            vocab_size=sizes["vocab_size"], dim=16, n_layers=3, n_heads=2, hidden_dim=32, max_position_embeddings=64
        ),
    }[kind]()
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
