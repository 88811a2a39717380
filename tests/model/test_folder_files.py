"""What training leaves is a sentence-transformers model too, and one that MTEB evaluates."""

import logging

import numpy as np
import pytest
import sentence_transformers
import torch
from batches import model_of
from transformers import AutoConfig, AutoModel

from mixcse import SentenceEncoder
from mixcse.base.files import read_json
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import POOLERS
from mixcse.train import run as training
from mixcse.train.folder import RunFolder

pytestmark = pytest.mark.usefixtures("bare_runs")

SENTENCES = ["the cat sat on the mat", "", "a dog", " ".join(["cat"] * 90), "a dog ran to the mat"]


def both(folder, sentences=SENTENCES):
    """Embeddings by sentence-transformers and by us."""
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    ours = SentenceEncoder(folder, device="cpu")
    assert theirs.max_seq_length == ours.max_seq_length
    assert theirs.get_embedding_dimension() == ours.dim
    return theirs.encode(sentences), ours.encode(sentences)


def assert_loads_untouched(folder):
    one, other = both(folder)
    np.testing.assert_allclose(one, other, atol=1e-5)
    _, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


@pytest.fixture()
def trained_heads(tiny_sizes, tokenizer):
    """A model whose `cls` head is not random, of a kind that has no pooler of its own, or has one."""

    def make(kind):
        return model_of(kind, tiny_sizes, tokenizer).float()

    return make


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pooler", POOLERS)
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_every_pooler_is_expressed(kind, pooler, trained_heads, tmp_path, caplog):
    trained_heads(kind).save_pretrained(tmp_path, recorded_pooler=pooler)
    with caplog.at_level(logging.WARNING):
        assert_loads_untouched(tmp_path)
    assert not caplog.records


def test_the_poolers_differ(trained_heads, tmp_path):
    """Else the test above could not fail."""
    model = trained_heads("bert")
    found = []
    for pooler in POOLERS:
        model.save_pretrained(tmp_path, recorded_pooler=pooler)
        found.append(both(tmp_path)[0])
    for i, one in enumerate(found):
        assert all(np.abs(one - other).max() > 0.01 for other in found[:i])


@pytest.mark.parametrize("pooler", ["avg_top2", "avg_first_last"])
@pytest.mark.parametrize("layers", [1, 2])
def test_few_layers(layers, pooler, tiny_sizes, tokenizer, tmp_path):
    torch.manual_seed(0)
    encoder = AutoModel.from_config(AutoConfig.for_model("bert", **tiny_sizes | {"num_hidden_layers": layers}))
    SentenceModel(encoder, tokenizer).save_pretrained(tmp_path, recorded_pooler=pooler)
    assert_loads_untouched(tmp_path)


def test_what_cannot_be_expressed_is_refused_by_name(tiny_sizes, tokenizer, tiny_bert, tmp_path):
    albert = AutoModel.from_config(AutoConfig.for_model("albert", **tiny_sizes))  # its head is of another kind
    SentenceModel(albert, tokenizer).save_pretrained(tmp_path, recorded_pooler="cls")
    with pytest.raises(ValueError, match="pooler cls of albert.*load it with SentenceEncoder"):
        sentence_transformers.SentenceTransformer(str(tmp_path))
    model = SentenceModel.from_pretrained(tiny_bert)
    model.has_cls_head = False
    model.save_pretrained(tmp_path, recorded_pooler="cls")
    with pytest.raises(ValueError, match="pooler cls of bert"):
        sentence_transformers.SentenceTransformer(str(tmp_path))


def test_a_tokenizer_that_pads_to_the_left(tiny_bert, tmp_path):
    model = SentenceModel.from_pretrained(tiny_bert)
    model.tokenizer.padding_side = "left"
    model.save_pretrained(tmp_path, recorded_pooler="cls_before_pooler")
    assert_loads_untouched(tmp_path)


def test_another_pooler_leaves_nothing_of_the_earlier_one(trained_heads, tmp_path):
    model = trained_heads("bert")
    for pooler in POOLERS:
        model.save_pretrained(tmp_path, recorded_pooler=pooler)
        listed = {module["path"] for module in read_json(tmp_path / "modules.json")} - {""}
        assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == listed


def test_every_folder_of_a_run_loads(command, tmp_path):
    training.main([*command, "--pooler_type", "avg_first_last", "--max_steps", "2"])
    out = tmp_path / "out"
    training.main([*command, "--max_steps", "4", "--overwrite_output_dir"])
    folders = [out, *out.glob("checkpoint-*")]
    assert len(folders) == 3
    for folder in folders:
        assert {path.name for path in folder.iterdir() if path.is_dir()} - {f.name for f in folders} == {"1_Pooling"}
        assert_loads_untouched(folder)


def test_starting_afresh_spares_a_strangers_file(tmp_path):
    for name in ("1_Pooling", "2_Dense"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    (tmp_path / "2_Dense" / "notes.txt").touch()
    (tmp_path / "arguments.json").touch()  # of an earlier run
    RunFolder(tmp_path, {}).begin(afresh=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["2_Dense", "arguments.json", "notes.txt"]
