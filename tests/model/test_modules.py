"""A sentence-transformers folder is used as it says: the embeddings are that library's."""

import json
import shutil

import numpy as np
import pytest
import sentence_transformers
from sentence_transformers.base import modules as base
from sentence_transformers.sentence_transformer import modules
from torch import nn

import senteval
from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.base.files import ROOT
from mixcse.data.demo_encoder import demo_encoder
from mixcse.evaluate.dev import DevSets
from mixcse.model.sentence_model import SentenceModel
from mixcse.train import run as training
from senteval.encoding import embed_distinct
from senteval.sts import score_sts

TEXTS = ["the cat sat on the mat", "A Dog ran", "", "the dog saw a cat " * 30, "x"]
DIM = 16


def save(folder, tiny_bert, *following, pooling="mean", length=20, **options):
    transformer = base.Transformer(str(tiny_bert), max_seq_length=length)
    parts = [transformer, modules.Pooling(DIM, pooling_mode=pooling), *following]
    model = sentence_transformers.SentenceTransformer(modules=parts, device="cpu", **options)
    model.save_pretrained(str(folder))
    return model.eval()


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def assert_equal_embeddings(folder, theirs, texts=TEXTS):
    ours = SentenceEncoder(folder)
    expected = theirs.encode(texts)
    assert ours.dim == expected.shape[1]
    np.testing.assert_allclose(ours.encode(texts), expected, atol=1e-5)
    return ours


@pytest.mark.parametrize(
    ("pooling", "pooler"), [("cls", "cls_before_pooler"), ("mean", "avg"), ("max", "max"), ("lasttoken", "last")]
)
def test_pooling_and_length(tmp_path, tiny_bert, pooling, pooler, capsys):
    theirs = save(tmp_path, tiny_bert, pooling=pooling)
    ours = assert_equal_embeddings(tmp_path, theirs)
    assert (ours.pooler, ours.max_seq_length) == (pooler, 20)
    assert f"{tmp_path}: pooler {pooler} (as its modules.json says)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "following",
    [
        lambda: [base.Normalize()],
        lambda: [base.Dense(DIM, 6), base.Normalize()],
        lambda: [modules.Dropout(0.3), base.Dense(DIM, 24, bias=False, activation_function=nn.Identity())],
    ],
    ids=["normalize", "dense", "dropout"],
)
def test_what_follows_the_pooling(tmp_path, tiny_bert, following):
    theirs = save(tmp_path, tiny_bert, *following())
    assert_equal_embeddings(tmp_path, theirs)


@pytest.mark.parametrize(("weights", "start", "pooler"), [([1, 1], 2, "avg_top2"), ([1, 0, 1], 1, "avg_first_last")])
def test_weighted_layers(tmp_path, tiny_bert, weights, start, pooler):
    transformer = base.Transformer(str(tiny_bert), config_kwargs={"output_hidden_states": True})
    layers = modules.WeightedLayerPooling(DIM, 3, start, nn.Parameter(__import__("torch").tensor(weights).float()))
    theirs = sentence_transformers.SentenceTransformer(
        modules=[transformer, layers, modules.Pooling(DIM, pooling_mode="mean")], device="cpu"
    )
    theirs.save_pretrained(str(tmp_path))
    assert assert_equal_embeddings(tmp_path, theirs.eval()).pooler == pooler


def test_a_default_prompt(tmp_path, tiny_bert):
    theirs = save(tmp_path, tiny_bert, prompts={"query": "the cat: ", "other": "x "}, default_prompt_name="query")
    ours = assert_equal_embeddings(tmp_path, theirs)
    assert ours.prompt == "the cat: "
    assert ours.fingerprint() != SentenceEncoder(tiny_bert, pooler="avg", max_seq_length=20).fingerprint()
    change(tmp_path / "config_sentence_transformers.json", default_prompt_name="none")
    with pytest.raises(UserError, match="has no prompt named none, its default one"):
        SentenceEncoder(tmp_path)


@pytest.mark.parametrize("pooling", ["mean", "max", "lasttoken", "cls"])
def test_a_prompt_that_is_left_out_of_pooling(tmp_path, tiny_bert, pooling):
    save(tmp_path, tiny_bert, pooling=pooling, prompts={"query": "the cat: "}, default_prompt_name="query")
    change(tmp_path / "1_Pooling" / "config.json", include_prompt=False)
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").eval()
    if pooling == "cls":
        with pytest.raises(UserError, match="leaves its prompt out of pooling, and pooler cls_before_pooler reads"):
            SentenceEncoder(tmp_path).encode(["a dog"])
        return
    ours = assert_equal_embeddings(tmp_path, theirs)
    other = {"prompt": "a dog and a cat: "}  # of another length
    np.testing.assert_allclose(ours.encode(TEXTS, **other), theirs.encode(TEXTS, **other), atol=1e-5)


@pytest.mark.parametrize("lower_case", [False, True])
def test_lower_case_is_asked_for_in_two_places(tmp_path, tiny_bert, lower_case):
    """The tokenizer's own setting holds whatever the folder's says, which is about the text before it."""
    save(tmp_path, tiny_bert)
    change(tmp_path / "sentence_bert_config.json", do_lower_case=lower_case)
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").eval()
    ours = assert_equal_embeddings(tmp_path, theirs, ["The CAT sat", "the cat sat"])
    assert ours.model.lower_case is lower_case
    np.testing.assert_allclose(*ours.encode(["The CAT sat", "the cat sat"]), atol=1e-6)


def test_the_tokenizers_own_length_and_padding_are_not_the_folders(tmp_path, tiny_bert):
    """As in all-MiniLM-L6-v2: its tokenizer.json cuts at 128 and pads to it, and its folder says 256."""
    save(tmp_path, tiny_bert, length=24)
    padding = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    cut = {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    change(tmp_path / "tokenizer.json", truncation=cut, padding=padding)
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").eval()
    ours = assert_equal_embeddings(tmp_path, theirs)
    nine, eight = "the cat sat on the mat " * 2, "the cat sat on the mat"
    assert np.abs(np.subtract(*ours.encode([nine, eight]))).max() > 1e-3


def test_a_model_for_another_similarity_is_said_to_be_one(tmp_path, tiny_bert, capsys):
    """Its dot products order sentences otherwise than cosines do, unless its embeddings have length 1."""
    save(tmp_path / "dot", tiny_bert, similarity_fn_name="dot")
    save(tmp_path / "unit", tiny_bert, base.Normalize(), similarity_fn_name="dot")
    for name in ("dot", "unit"):
        SentenceEncoder(tmp_path / name)
    said = [line for line in capsys.readouterr().err.splitlines() if "similarity" in line]
    file = "config_sentence_transformers.json"
    what = f"warning: {tmp_path / 'dot'} was trained for another similarity, dot, as its {file} says"
    assert said == [f"{what}; scores here are cosines"]


def test_the_layout_of_the_first_versions(tmp_path, tiny_bert):
    """The encoder in a folder of its own; a flag for each kind of pooling."""
    new, old = tmp_path / "new", tmp_path / "old"
    theirs = save(new, tiny_bert, pooling="max", length=9)
    (old / "1_Pooling").mkdir(parents=True)
    shutil.copytree(tiny_bert, old / "0_Transformer")
    (old / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": false}')
    flags = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
    (old / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": DIM} | flags))
    kinds = (("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"))
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (old / "modules.json").write_text(json.dumps(listed))
    assert assert_equal_embeddings(old, theirs).max_seq_length == 9


@pytest.mark.parametrize(
    ("pooling", "following", "says"),
    [
        ("weightedmean", [], "1_Pooling pools by weightedmean, which is not known here"),
        ("mean_sqrt_len_tokens", [], "pools by mean_sqrt_len_tokens"),
        (("cls", "mean"), [], "pools by cls and mean"),
        ("mean", [modules.LayerNorm(DIM)], "the module LayerNorm .2_LayerNorm. is not known here"),
        ("mean", [base.Dense(DIM, 6, activation_function=nn.Softplus())], "the activation Softplus of 2_Dense"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, tiny_bert, pooling, following, says):
    save(tmp_path, tiny_bert, *following, pooling=pooling)
    with pytest.raises(UserError, match=f"{tmp_path}: .*{says}") as error:
        SentenceEncoder(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_that_lacks_what_it_names_is_refused(tmp_path, tiny_bert):
    save(tmp_path, tiny_bert, base.Dense(DIM, 6))
    (tmp_path / "2_Dense" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="the weights of 2_Dense cannot be read"):
        SentenceEncoder(tmp_path)
    (tmp_path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(UserError, match="1_Pooling/config.json, which modules.json names, is not there"):
        SentenceEncoder(tmp_path)
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(UserError, match="modules.json, or a file that it names, is damaged"):
        SentenceEncoder(tmp_path)


def test_another_pooler_is_taken_with_a_warning(tmp_path, tiny_bert, capsys):
    save(tmp_path, tiny_bert)
    ours = SentenceEncoder(tmp_path, pooler="cls_before_pooler")
    expected = SentenceEncoder(tiny_bert, pooler="cls_before_pooler", max_seq_length=20)
    np.testing.assert_allclose(ours.encode(TEXTS), expected.encode(TEXTS), atol=1e-6)
    said = capsys.readouterr().err
    assert f"warning: {tmp_path} is to be used with pooler avg, as its modules.json says; using cls_before" in said


def test_a_trained_folder_that_was_trained_on_there_is_what_was_written_there(tmp_path, tiny_bert, capsys):
    """Its config.json still records our pooler, whose head is not the one that was trained since."""
    model = SentenceModel.from_pretrained(tiny_bert)
    model.prepare_training("cls")
    model.save_pretrained(tmp_path / "ours", recorded_pooler="cls")
    assert SentenceEncoder(tmp_path / "ours").pooler == "cls"
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    nn.init.normal_(theirs[2].linear.weight)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert_equal_embeddings(tmp_path / "theirs", theirs.eval())
    assert "pooler cls_before_pooler (as its modules.json says)" in capsys.readouterr().err


def test_training_from_such_a_folder(command, bare_runs, tmp_path, tiny_bert, toy_senteval, capsys):
    """`--pooler_type` decides; the untrained score is given for both; no sentence is longer than the folder says."""
    save(tmp_path / "st", tiny_bert, base.Normalize(), prompts={"q": "a dog: "}, default_prompt_name="q")
    command += ["--model_name_or_path", str(tmp_path / "st"), "--max_steps", "2"]
    with pytest.raises(UserError, match="--max_seq_length 32 is outside 3 to 20, the model's limit"):
        training.main(command)
    training.main([*command, "--max_seq_length", "20"])
    said = capsys.readouterr().err
    as_shipped = DevSets.load(str(toy_senteval), None).score(SentenceEncoder(tmp_path / "st").encode)
    score = f"{100 * as_shipped['stsb_spearman']:.2f}"
    assert f"untrained, with pooler avg as its modules.json says: stsb_spearman {score}," in said
    assert SentenceEncoder(tmp_path / "out").pooler == "cls_before_pooler"
    expected = json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())
    assert expected["max_seq_length"] == 20


def test_the_demos_encoder_is_used_as_it_was_published():
    """With the mean of the tokens, and 256 of them; README.md has the score."""
    model, pairs = str(demo_encoder()), senteval.read_pairs_file(ROOT / "data" / "sample" / "sts-test.csv")
    embedded = embed_distinct(SentenceEncoder(model).encode, pairs.sentences())
    assert round(100 * score_sts({"x": pairs}, embedded)["x"]["spearman"].correlation, 2) == 90.58
    theirs = sentence_transformers.SentenceTransformer(model, device="cpu")
    assert_equal_embeddings(demo_encoder(), theirs, ["A cat sits on the mat.", "It rains. " * 200, ""])


def test_lower_case_holds_in_training_too(command, bare_runs, tmp_path, tiny_bert):
    """A run that changes next to nothing leaves embeddings as they were, and the flag."""
    save(tmp_path / "st", tiny_bert, length=32)
    change(tmp_path / "st" / "sentence_bert_config.json", do_lower_case=True)
    cased = json.loads((tmp_path / "st" / "tokenizer.json").read_text())
    change(tmp_path / "st" / "tokenizer.json", normalizer=cased["normalizer"] | {"lowercase": False})
    change(tmp_path / "st" / "tokenizer_config.json", do_lower_case=False)
    assert "[UNK]" in SentenceModel.from_pretrained(tmp_path / "st").tokenizer.tokenize("The CAT")
    command += ["--model_name_or_path", str(tmp_path / "st"), "--learning_rate", "1e-12", "--pooler_type", "avg"]
    training.main(command)
    folders = (tmp_path / "st", tmp_path / "out")
    before, after = (SentenceEncoder(folder).encode(["The CAT sat", "the cat sat"]) for folder in folders)
    np.testing.assert_allclose(before[0], before[1], atol=1e-6)
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())["do_lower_case"] is True


def test_a_dense_module_is_not_dropped_in_training(command, tmp_path, tiny_bert):
    save(tmp_path / "st", tiny_bert, base.Dense(DIM, 6), length=32)
    with pytest.raises(UserError, match="st: a Dense module follows its pooling and would not be trained"):
        training.main([*command, "--model_name_or_path", str(tmp_path / "st")])
