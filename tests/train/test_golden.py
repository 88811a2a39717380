"""Losses, gradient norms and scores of short trainings are those in `golden/training.json`, on any CPU.

The file was measured with commit 502cd11362, which made the records in `results/` (Intel Xeon, torch 2.11).
If numbers have to change, replace those that the failing test prints, and say so in the commit.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_folder import logged
from transformers import BertConfig, BertModel, BertTokenizerFast

from mixcse import SentenceEncoder
from mixcse.data.pairs import read_own_pairs
from mixcse.evaluate.scores import evaluate
from mixcse.reproduce.plan import SAMPLE, as_arguments
from mixcse.train import run as training

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "training.json").read_text())
TOLERANCE = 1e-4
OBJECTIVES = {
    "released": {},
    "simcse": {"variant": "simcse"},
    "paper": {"variant": "paper"},
    "adaptive": {"variant": "adaptive", "temperature": 0.1},
    "hardest": {"mix_with": "hardest", "mixing_lambda": 0.5},
    "one view, flowing": {"mixed_views": "first", "stop_gradient": False},
    "controls": {"negative_weight": 3.0, "detached_negatives": 0.5, "alignment_weight": 1.0},
    "head, masked words": {"pooler_type": "cls", "do_mlm": True},
    "mean": {"pooler_type": "avg"},
}
RECIPE = {"pooler_type": "cls_before_pooler", "max_steps": 3, "per_device_train_batch_size": 16, "learning_rate": 1e-3}
STILL = {"logging_steps": 1, "save_strategy": "no", "use_cpu": True, "train_file": SAMPLE / "sentences.txt"}
POOLERS = ("cls_before_pooler", "avg", "avg_top2", "avg_first_last", "max")


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    """A BERT with weights from numpy's generator, which are the same everywhere."""
    folder = tmp_path_factory.mktemp("golden") / "bert"
    folder.mkdir()
    sentences = read_own_pairs(SAMPLE / "sts-test.csv").sentences()
    words = sorted({word for text in sentences for word in text.lower().split() if word.isalpha()})
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    tokenizer = BertTokenizerFast(vocab=str(vocabulary), vocab_file=str(vocabulary), model_max_length=64)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes))
    draw = np.random.RandomState(0)
    for name, weights in sorted(model.named_parameters()):
        if "LayerNorm" not in name:
            weights.data = torch.from_numpy(draw.normal(scale=0.2, size=weights.shape)).float()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def score(model: Path, pooler: str | None = None) -> float:
    encoder = SentenceEncoder(model, pooler=pooler, device="cpu")
    return evaluate(encoder.encode, [], SAMPLE, eval_path=SAMPLE / "sts-test.csv").own["spearman"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_training_gives_the_same_numbers(name, bert, tmp_path, bare_runs):
    folders = {"model_name_or_path": bert, "output_dir": tmp_path / "out"}
    training.main(as_arguments(RECIPE | STILL | folders | OBJECTIVES[name]))
    steps = [[*logged(tmp_path / "out", key).values()] for key in ("loss", "grad_norm")]
    numbers = [*steps[0], *steps[1], score(tmp_path / "out")]
    assert numbers == pytest.approx(GOLDEN[name], rel=TOLERANCE), f"{numbers} in {name}"


def test_an_encoder_gives_the_same_scores(bert):
    assert [score(bert, pooler) for pooler in POOLERS] == pytest.approx(GOLDEN["untrained"], rel=TOLERANCE)
