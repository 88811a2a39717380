"""Two encoders have one fingerprint, and two runs share tokens, only where everything that matters is equal."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from run_folder import same_weights
from transformers import BertJapaneseTokenizer

from mixcse import SentenceEncoder
from mixcse.encoder import batches
from mixcse.model.sentence_model import SentenceModel
from mixcse.train import run as training


def changed(folder, copy, file="config.json", **values):
    shutil.copytree(folder, copy)
    if values:
        (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | values))
    return copy


def write_modules(folder, *kinds, activation="torch.nn.modules.activation.Tanh"):
    """Make it a sentence-transformers folder, with mean pooling and these modules behind it."""
    kinds, modules = ("Transformer", "Pooling", *kinds), []
    for number, kind in enumerate(kinds):
        path = f"{number}_{kind}" if number else ""
        modules.append(
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
        (folder / path).mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        '{"word_embedding_dimension": 16, "pooling_mode_mean_tokens": true}'
    )
    if "Dense" in kinds:
        described = {"in_features": 16, "out_features": 16, "bias": True, "activation_function": activation}
        (folder / "2_Dense" / "config.json").write_text(json.dumps(described))
        weights = {"linear.weight": torch.eye(16), "linear.bias": torch.zeros(16)}
        torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def test_fingerprints_tell_apart_what_embeds_otherwise_and_nothing_else(tiny_bert, tmp_path):
    folders = {
        "left": changed(tiny_bert, tmp_path / "left", "tokenizer_config.json", truncation_side="left"),
        "relu": changed(tiny_bert, tmp_path / "relu", hidden_act="relu"),
        "eps": changed(tiny_bert, tmp_path / "eps", layer_norm_eps=1e-3),
        "heads": changed(tiny_bert, tmp_path / "heads", num_attention_heads=4),
        "mean": write_modules(changed(tiny_bert, tmp_path / "mean")),
        "unit": write_modules(changed(tiny_bert, tmp_path / "unit"), "Normalize"),
        "tanh": write_modules(changed(tiny_bert, tmp_path / "tanh"), "Dense"),
        "none": write_modules(
            changed(tiny_bert, tmp_path / "none"), "Dense", activation="torch.nn.modules.linear.Identity"
        ),
    }
    prints = {name: SentenceEncoder(folder).fingerprint() for name, folder in folders.items()}
    assert len({*prints.values(), SentenceEncoder(tiny_bert).fingerprint()}) == len(folders) + 1
    for name, folder in folders.items():
        assert SentenceEncoder(changed(folder, tmp_path / f"copy of {name}")).fingerprint() == prints[name]


def test_the_vocabulary_of_a_slow_tokenizer_counts(tiny_bert, tokenizer, tmp_path):
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    encoders = []
    for name, vocabulary in (("one", words), ("other", [*words[:5], *reversed(words[5:])])):
        folder = changed(tiny_bert, tmp_path / name)
        for file in folder.glob("*token*"):
            file.unlink()
        (folder / "vocab.txt").write_text("\n".join(vocabulary))
        kinds = {"word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece"}
        BertJapaneseTokenizer(str(folder / "vocab.txt"), **kinds).save_pretrained(folder)
        encoders.append(SentenceEncoder(folder))
    first, second = (encoder.encode(["the cat sat"]) for encoder in encoders)
    assert np.abs(first - second).max() > 1e-3
    assert encoders[0].fingerprint() != encoders[1].fingerprint()
    assert encoders[0].fingerprint() == SentenceEncoder(changed(tmp_path / "one", tmp_path / "copy")).fingerprint()


def test_tokens_of_another_truncation_side_are_not_reused(command, bare_runs, tiny_bert, tmp_path):
    command = [*command[: command.index("--do_eval")], "--max_seq_length", "6", "--max_steps", "2"]
    training.main([*command, "--output_dir", str(tmp_path / "right")])
    left = str(changed(tiny_bert, tmp_path / "left", "tokenizer_config.json", truncation_side="left"))
    training.main([*command, "--model_name_or_path", left])
    assert not same_weights(tmp_path / "right", tmp_path / "out")


def test_a_prompt_of_an_earlier_run_does_not_survive(command, bare_runs, tmp_path):
    command = [*command[: command.index("--do_eval")], "--max_steps", "1", "--overwrite_output_dir"]
    training.main([*command, "--prompt", "query: "])
    assert SentenceEncoder(tmp_path / "out").prompt == "query: "
    (tmp_path / "out" / "mine.txt").touch()
    training.main(command)
    assert SentenceEncoder(tmp_path / "out").prompt == ""
    assert (tmp_path / "out" / "mine.txt").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_two_encoders_of_one_model_take_turns(tiny_bert, toy_sentences, monkeypatch, packed):
    """Without padding, and padded as on a GPU."""
    if not packed:
        monkeypatch.setattr(batches, "can_pack", lambda encoder: False)
    model = SentenceModel.from_pretrained(tiny_bert)
    encoders = [SentenceEncoder(model, pooler=pooler) for pooler in ("cls_before_pooler", "avg")]
    alone = [encoder.encode(toy_sentences[:40]) for encoder in encoders]

    def encode(number):
        return [encoders[number].encode(toy_sentences[:40]) for _ in range(20)]

    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(encode, (0, 1)))
    for expected, found in zip(alone, together, strict=True):
        assert all(np.array_equal(embeddings, expected) for embeddings in found)
