"""Decoders of five families by their last token: trained, continued, saved, loaded, scored, searched."""

import shutil

import numpy as np
import pytest
import sentence_transformers
from families import DECODERS, ROBERTA, byte_level, write_decoder
from run_folder import check_continuing, check_folder
from transformers import AutoModel

from mixcse import SentenceEncoder, cli
from mixcse.base.errors import UserError
from mixcse.model.sentence_model import SentenceModel
from mixcse.train import prepare as preparation
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")
SENTENCES = ["the cat sat on the mat", "a dog ran", " ", "the dog saw a cat, a bird and the mat", "zzz"]
PROMPT = "find the cat: "


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A decoder of each family; do not write into them."""
    root = tmp_path_factory.mktemp("decoders")
    return {family: write_decoder(root / family, family) for family in DECODERS}


def options_for(folder, *more):
    return ["--model_name_or_path", str(folder), "--pooler_type", "last", "--max_seq_length", "30", *more]


def theirs(folder):
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu").eval()


@pytest.mark.parametrize("family", DECODERS)
def test_trains_continues_and_comes_back(family, folders, command, tmp_path, toy_senteval, capsys):
    command += options_for(folders[family], "--max_steps", "4", "--lora_rank", "0")
    out = tmp_path / "out"
    check_continuing(command, out)
    said = capsys.readouterr().err
    assert ("has no dropout switched on; it is trained with --dropout 0.1" in said) == (family != "gpt2")
    assert "two views" not in said.replace("so that two views differ", "")
    assert ("no padding token; </s>, which ends a text, is taken" in said) == ("pad_token" not in DECODERS[family][0])

    encoder = check_folder(out, SENTENCES, toy_senteval)
    assert encoder.pooler == "last"
    np.testing.assert_allclose(encoder.encode(SENTENCES), theirs(out).encode(SENTENCES), rtol=0, atol=1e-5)
    encoder.build_index(SENTENCES)
    assert [encoder.search(sentence, top_k=1)[0].sentence for sentence in SENTENCES] == SENTENCES


@pytest.mark.parametrize("family", DECODERS)
def test_adapters_are_the_default(family, folders, command, tmp_path, capsys):
    training.main([*command, *options_for(folders[family], "--max_steps", "2", "--lora_alpha", "8")])
    said = capsys.readouterr().err
    assert "a decoder: adapters of rank 16 are trained (--lora_rank 0: all its weights)" in said
    assert "does nothing without" not in said
    layers = "c_attn, c_fc, c_proj" if family == "gpt2" else "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v"
    assert f"adapters are in {layers}" in said
    out = tmp_path / "out"
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    assert "Adapters (LoRA) of rank 16 were trained" in (out / "README.md").read_text()
    np.testing.assert_allclose(SentenceEncoder(out).encode(SENTENCES), theirs(out).encode(SENTENCES), atol=1e-5)


@pytest.mark.parametrize(("family", "sizes"), [("mixtral", {"num_local_experts": 2}), ("lfm2", {})])
def test_experts_and_decoders_without_dropout(family, sizes, command, tmp_path, capsys):
    """Experts that are one tensor get no adapters; where a configuration knows no dropout, the adapters' is enough."""
    folder = write_decoder(tmp_path / family, family, **sizes)
    training.main([*command, *options_for(folder, "--max_steps", "2")])
    said = capsys.readouterr().err
    assert ("has no dropout switched on" in said) == (family == "mixtral")
    assert "warning: without dropout" not in said
    out = tmp_path / "out"
    np.testing.assert_allclose(SentenceEncoder(out).encode(SENTENCES), theirs(out).encode(SENTENCES), atol=1e-5)


def test_an_encoder_whose_configuration_knows_no_dropout(tiny_bert, command, monkeypatch, capsys):
    monkeypatch.setattr(preparation, "dropout_fields", lambda config: [])
    training.main([*command, "--max_steps", "2"])
    said = capsys.readouterr().err
    assert "no dropout in its configuration, and adapters have their own: adapters of rank 16 are trained" in said


def test_a_run_with_adapters_a_prompt_and_the_last_token(folders, command, tmp_path, monkeypatch):
    """The same embeddings in `SentenceEncoder`, sentence-transformers and `mixcse encode`."""
    training.main(
        [*command, *options_for(folders["qwen3"], "--max_steps", "20", "--lora_rank", "4", "--prompt", PROMPT)]
    )
    out, embeddings = tmp_path / "out", tmp_path / "embeddings.npy"
    (tmp_path / "lines.txt").write_text("\n".join(SENTENCES) + "\n")
    cli.main(["encode", "--model", str(out), str(tmp_path / "lines.txt"), "--output", str(embeddings)])
    library = theirs(out)
    assert library.prompts[library.default_prompt_name] == PROMPT
    encoder = SentenceEncoder(out)
    expected = encoder.encode(SENTENCES)
    np.testing.assert_allclose(library.encode(SENTENCES), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.load(embeddings), expected, rtol=0, atol=1e-6)
    untrained = SentenceEncoder(folders["qwen3"], prompt=PROMPT).encode(SENTENCES)
    assert np.abs(untrained - expected).max() > 1e-3
    np.testing.assert_allclose(encoder.encode([PROMPT + SENTENCES[0]], prompt=""), expected[:1], atol=1e-6)


def test_poolers_of_the_first_token_are_refused(folders, command, capsys):
    for pooler in ("cls", "cls_before_pooler"):
        with pytest.raises(UserError, match=f"a decoder .llama., whose first token .* pooler {pooler} has nothing"):
            training.main([*command, "--model_name_or_path", str(folders["llama"]), "--pooler_type", pooler])
        with pytest.raises(UserError, match=f"whose first token .* pooler {pooler} has nothing to read; choose last"):
            SentenceEncoder(SentenceModel.from_pretrained(folders["llama"]), pooler=pooler)
    assert SentenceEncoder(folders["llama"]).pooler == "last"
    assert f"{folders['llama']}: pooler last (the default)" in capsys.readouterr().err
    assert np.isfinite(SentenceEncoder(folders["llama"], pooler="avg").encode(SENTENCES)).all()


def test_a_tokenizer_without_any_end(folders, tmp_path, capsys):
    shutil.copytree(folders["llama"], tmp_path / "model")
    byte_level({}, "$A", [token for token in ROBERTA if token != "<pad>"]).save_pretrained(tmp_path / "model")
    model = SentenceModel.from_pretrained(tmp_path / "model")
    assert "its tokenizer has no padding token; <pad> is added" in capsys.readouterr().err
    model.save_pretrained(tmp_path / "out", recorded_pooler="last")
    ours = SentenceEncoder(tmp_path / "out").encode(SENTENCES)
    np.testing.assert_allclose(ours, theirs(tmp_path / "out").encode(SENTENCES), atol=1e-5)


def test_a_decoder_in_training_is_known_as_one(folders):
    decoder = AutoModel.from_pretrained(folders["llama"]).train()
    model = SentenceModel(decoder, SentenceModel.from_pretrained(folders["llama"]).tokenizer)
    assert model.is_causal
    assert all(module.training for module in decoder.modules())
