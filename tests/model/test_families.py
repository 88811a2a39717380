"""Encoders of eight families: trained, continued, saved, loaded, scored; and what is no encoder."""

import json
import shutil

import pytest
import torch
from batches import assert_equal, checkpoint_activations
from families import FAMILIES, LENGTH, write_family
from run_folder import check_continuing, check_folder

from mixcse import SentenceEncoder
from mixcse.data.batch import ContrastiveCollator
from mixcse.model.chunking import Chunking
from mixcse.model.packing import can_pack
from mixcse.model.sentence_model import HEADS_FILE, SentenceModel
from mixcse.objective import contrastive_loss
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")
OF_BERTS_KIND = ("bert", "electra", "roberta", "xlm-roberta")
SENTENCES = ["the cat sat on the mat", "a dog ran", "", "the dog saw a cat, a bird and the mat", "zzz"]
# Beside pooler cls with the masked-LM loss, which all are trained with.
OTHERWISE = {
    "bert": ["--pooler_type", "avg_top2", "--gradient_checkpointing", "True"],
    "distilbert": ["--pooler_type", "avg", "--embedding_chunk_size", "6"],
    "electra": ["--pooler_type", "cls_before_pooler", "--padding", "batch"],
    "mpnet": ["--pooler_type", "cls_before_pooler", "--embedding_chunk_size", "6"],
    "roberta": ["--pooler_type", "avg_first_last"],
    "modernbert": ["--pooler_type", "avg", "--gradient_checkpointing", "True", "--dropout", "0.1"],
    "xlm-roberta": ["--pooler_type", "avg", "--prompt", "the cat: "],  # as E5
    "deberta-v2": ["--pooler_type", "avg_first_last", "--pad_to_max_length"],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An encoder of each family under a masked-LM head, as the Hub has them; do not write into them."""
    root = tmp_path_factory.mktemp("families")
    return {family: write_family(root / family, family, masked_lm=True) for family in FAMILIES}


def model_of(folder, **options):
    model = SentenceModel.from_pretrained(folder, **options)
    model.prepare_training("cls")
    return model.train()


def batch_of(model, **options):
    groups = [{"input_ids": [ids]} for ids in model.tokenizer(SENTENCES)["input_ids"]]
    return ContrastiveCollator(model.tokenizer, **options)(groups)


@pytest.mark.parametrize("family", FAMILIES)
def test_trains_continues_and_comes_back(family, folders, command, tmp_path, toy_senteval):
    command += ["--model_name_or_path", str(folders[family]), "--max_steps", "4", "--max_seq_length", "20", "--do_mlm"]
    out = tmp_path / "out"
    check_continuing(command, out)
    check_folder(out, SENTENCES, toy_senteval, "cls")
    assert SentenceModel.from_pretrained(out).recorded_pooler == "cls_before_pooler"


@pytest.mark.parametrize("family", FAMILIES)
def test_trains_otherwise(family, folders, command, tmp_path, toy_senteval, capsys):
    options = OTHERWISE[family]
    training.main([*command, "--model_name_or_path", str(folders[family]), "--max_seq_length", "20", *options])
    check_folder(tmp_path / "out", SENTENCES, toy_senteval, options[1])
    assert not (tmp_path / "out" / HEADS_FILE).exists()
    assert "two views" not in capsys.readouterr().err


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_input(family, folders, tmp_path):
    """The position table's size, whatever the tokenizer says, and no limit short of it."""
    for file in folders[family].iterdir():
        shutil.copy(file, tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": int(1e30)}))
    encoder = SentenceEncoder(tmp_path)
    assert encoder.max_seq_length == LENGTH
    whole, cut = encoder.encode(["the cat " * LENGTH, "the cat " * (LENGTH - 1)])
    assert whole.tolist() == pytest.approx(cut.tolist(), abs=1e-5)


def test_positions_that_are_no_table_have_the_configs_limit(tmp_path):
    folder = write_family(tmp_path, "deberta-v2", position_biased_input=True)
    assert SentenceModel.from_pretrained(folder).max_length == LENGTH


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_what_is_asked_for(family, folders):
    batch = batch_of(model_of(folders[family]))
    for dropout, differ in ((0.0, False), (0.3, True), (None, family != "modernbert")):
        model = model_of(folders[family], dropout=dropout)
        z = model(**batch)["embeddings"]
        assert torch.allclose(z[:, 0], z[:, 1]) != differ
        modules = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
        assert dropout is None or {module.p for module in modules} <= {dropout}


def test_views_without_dropout_are_spoken_of(folders, command, capsys, tmp_path):
    command += ["--model_name_or_path", str(folders["modernbert"]), "--max_steps", "2", "--max_seq_length", "20"]
    training.main(command)
    said = capsys.readouterr().err
    assert "has no dropout switched on; it is trained with --dropout 0.1" in said
    assert "warning: without dropout" not in said
    command += ["--overwrite_output_dir", "--dropout", "0"]
    training.main(command)
    assert "warning: without dropout the two views of a sentence are the same" in capsys.readouterr().err
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,answer\n" + "the cat,the dog\na mat,a cat\n" * 8)
    training.main([*command, "--train_file", str(pairs)])
    assert "two views" not in capsys.readouterr().err


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_all_that_is_trained_however_a_batch_is_laid_out(family, folders):
    model = model_of(folders[family], dropout=0.0).double()
    batch = batch_of(model)

    def gradients(chunking, packed):
        model.chunking, model.packed = chunking, packed
        model.zero_grad()
        contrastive_loss(model(**batch)["embeddings"]).backward()
        # Of what is trained: an embedding table's padding row, say, is part of it.
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}

    plain = gradients(Chunking(), packed=False)
    assert can_pack(model.encoder) == (family in OF_BERTS_KIND)
    ways = [(Chunking(), True), (Chunking(rows=3), False)]
    if model.encoder.supports_gradient_checkpointing:  # MPNet's does not
        checkpoint_activations(model.encoder)
        assert not can_pack(model.encoder)
        ways.append((Chunking(), True))
    for way in ways:
        assert_equal(gradients(*way), plain)


def test_a_layer_of_the_same_name_is_not_taken_for_berts(folders):
    model = model_of(folders["bert"])
    layers = model.encoder.encoder.layer
    kind = type("BertLayer", (type(layers[-1]),), {"__module__": "somebodys_code"})
    assert can_pack(model.encoder)
    layers[-1].__class__ = kind
    assert not can_pack(model.encoder)
