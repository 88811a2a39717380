"""Of chaos.py: what the training that it kills is made of, small enough for seconds."""

import string
from pathlib import Path

STEPS, EVERY, LIMIT, BATCH = 36, 3, 2, 8  # --max_steps, --eval_steps, --save_total_limit; sentences a step


def make_inputs(folder: Path, model: Path, steps: int = STEPS) -> list[str]:
    """Writes a corpus and a dev set; the options of two epochs of training, but for those of a `Run`."""
    nouns = ("cat", "dog", "mat", "bird", "house", "river", "train", "teacher")
    verbs = ("sat on", "ran to", "saw", "left", "found", "liked")
    lines = [f"the {one} {verb} the {two}" for one in nouns for verb in verbs for two in nouns if one != two]
    folder.mkdir(parents=True, exist_ok=True)
    epoch = lines[: steps * BATCH // 2]
    (folder / "train.txt").write_text("\n".join(epoch) + "\n")
    pairs = enumerate(zip(lines[:40], lines[3:43], strict=True))
    rows = ["sentence1\tsentence2\tscore", *(f"{one}\t{two}\t{7 * i % 6}" for i, (one, two) in pairs)]
    (folder / "dev.tsv").write_text("\n".join(rows) + "\n")
    return [
        *("--model_name_or_path", str(model), "--train_file", str(folder / "train.txt"), "--do_train"),
        *("--validation_file", str(folder / "dev.tsv"), "--max_steps", str(steps), "--eval_steps", str(EVERY)),
        *("--save_total_limit", str(LIMIT), "--logging_steps", "1", "--learning_rate", "1e-2"),
    ]


def make_model(folder: Path) -> None:
    """Writes a random BERT of 16 dimensions, and its tokenizer."""
    import torch
    from transformers import AutoModel, BertConfig, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "mat"]
    letters = list(string.ascii_lowercase)
    folder.mkdir(parents=True)
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join([*words, *letters, *(f"##{letter}" for letter in letters)]))
    tokenizer = BertTokenizerFast(vocab=str(vocab), vocab_file=str(vocab), model_max_length=64)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.5, **sizes)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
