"""What today's code computes, in small: numbers that a record keeps, so that it can be told whether they would change.

Each objective trains a tiny BERT for some steps and is scored, on a CPU; names of files, comments
and what is printed have no say.  Where two machines round differently, numbers agree to `TOLERANCE`.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mixcse.base.console import quiet_libraries, say
from mixcse.base.errors import UserError
from mixcse.base.files import ROOT, read_json, write_json
from mixcse.data.pairs import read_own_pairs
from mixcse.reproduce.keys import files_key, hash_of
from mixcse.reproduce.plan import SAMPLE, as_arguments

TOLERANCE = 1e-4
KINDS: dict[str, dict[str, Any]] = {  # options of train.py
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
LOGGED = ("loss", "grad_norm")
CACHE = ROOT / "result" / "reproduce" / "probes"
LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "scipy", "scikit-learn")
Probe = dict[str, list[float]]


def agree(one: Any, other: Any) -> bool:
    """Whether two probes are of code that computes the same, as far as both say; False for what is none."""
    common = one.keys() & other.keys() if isinstance(one, dict) and isinstance(other, dict) else ()
    return bool(common) and all(
        len(one[name]) == len(other[name]) and np.allclose(one[name], other[name], rtol=TOLERANCE, atol=TOLERANCE)
        for name in common
    )


def probe() -> Probe:
    """The numbers of the code as it is now; measured once for each state of the source files and libraries.

    Raises:
        UserError: the code does not run.
    """
    file = CACHE / f"{_state()}.json"
    with suppress(OSError, ValueError):
        return read_json(file)
    say("measuring what this version of the code computes (once, about half a minute)")
    # In a process of its own: what this one has imported may be older than the files.
    code = "from mixcse.reproduce.probe import measure; measure()"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise UserError(f"the code does not run: {(ran.stderr.strip().splitlines() or ['no message'])[-1]}")
    with suppress(OSError):  # it is measured again then
        write_json(file, json.loads(ran.stdout))
    return json.loads(ran.stdout)


def measure() -> None:
    """Writes the numbers to stdout, as JSON."""
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silence, redirect_stderr(silence):
        place = Path(folder)
        _write_bert(place / "bert")
        numbers = {name: _trained(place, name, options) for name, options in KINDS.items()}
        poolers = ("cls_before_pooler", "avg", "avg_top2", "avg_first_last", "max")
        numbers["untrained"] = [_score(place / "bert", pooler) for pooler in poolers]
        numbers["classifiers"] = _classifiers()
    sys.stdout.write(json.dumps(numbers))


def _trained(place: Path, name: str, options: dict[str, Any]) -> list[float]:
    """Losses, gradient norms, and the score at the end."""
    from mixcse.train.parsing import parse_training_arguments
    from mixcse.train.run import train

    paths = {"model_name_or_path": place / "bert", "train_file": SAMPLE / "sentences.txt", "output_dir": place / name}
    still = {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True}
    train(*parse_training_arguments(as_arguments(RECIPE | paths | still | options)))
    history = read_json(place / name / "trainer_state.json")["log_history"]
    return [entry[key] for key in LOGGED for entry in history if key in entry] + [_score(place / name, None)]


def _score(model: Path, pooler: str | None) -> float:
    """Spearman's correlation on the sample's pairs, by the functions behind evaluation.py."""
    from mixcse.encoder.sentence_encoder import SentenceEncoder
    from mixcse.evaluate.scores import evaluate

    encoder = SentenceEncoder(model, pooler=pooler, device="cpu")
    return evaluate(encoder.encode, [], SAMPLE, eval_path=SAMPLE / "sts-test.csv").own["spearman"]


def _classifiers() -> list[float]:
    """Accuracies of the transfer tasks' classifiers on random features, as fractions."""
    from senteval.classification import Protocol, score_nested
    from senteval.encoding import embed_distinct
    from senteval.labelled import Labelled

    draw = np.random.RandomState(0)
    sentences = [str(number) for number in range(120)]
    features = draw.normal(size=(120, 8))
    labels = (2 * features[:, 0] + draw.normal(size=120) > 0).astype(np.int64)
    embedded = embed_distinct(lambda some: features[[int(one) for one in some]], sentences)
    results = score_nested({"all": Labelled(sentences, labels)}, embedded, Protocol(kfold=2))
    return [results["devacc"] / 100, results["acc"] / 100]


def _write_bert(folder: Path) -> None:
    """A BERT of numpy's random numbers, which are the same everywhere."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    pairs = read_own_pairs(SAMPLE / "sts-test.csv")
    words = sorted({word for text in pairs.sentences() for word in text.lower().split() if word.isalpha()})
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    vocabulary = str(folder / "vocab.txt")
    tokenizer = BertTokenizerFast(vocab=vocabulary, vocab_file=vocabulary, model_max_length=64)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "num_attention_heads": 2}
    bert = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes))
    draw = np.random.RandomState(0)
    for name, weights in sorted(bert.named_parameters()):
        if "LayerNorm" not in name:
            weights.data = torch.from_numpy(draw.normal(scale=0.2, size=weights.shape)).float()
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _state() -> str:
    """Of the files and libraries that the numbers were measured with: what to look them up by, and no more."""
    files = [file for folder in ("mixcse", "SentEval/senteval") for file in (ROOT / folder).rglob("*.py")]
    return hash_of([files_key(ROOT, files), sys.version, *map(version, LIBRARIES)])
