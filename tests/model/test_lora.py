"""Adapters: what is trained, what is saved, and that a run continues with them."""

import json
import shutil
import sys

import pytest
import torch
from batches import assert_equal, checkpoint_activations
from families import write_family
from run_folder import same_weights, weights
from transformers import AutoModel

from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.data.batch import ContrastiveCollator
from mixcse.data.corpus import Corpus
from mixcse.data.tokens import load_training_data
from mixcse.model.lora import ADAPTER_FOLDER, DROPOUT, merged
from mixcse.model.packing import can_pack
from mixcse.model.sentence_model import HEADS_FILE, SentenceModel
from mixcse.objective import contrastive_loss
from mixcse.train import run as training
from mixcse.train.parsing import parse_training_arguments
from mixcse.train.prepare import make_trainer

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.usefixtures("bare_runs")
SENTENCES = ["the cat sat on the mat", "a dog ran", "the dog saw a cat, a bird and the mat", "zzz"]


def with_random_adapters(folder, **options):
    torch.manual_seed(0)
    model = SentenceModel.from_pretrained(folder, dropout=0.0)
    model.prepare_training("cls")
    model.add_adapters(rank=2, dropout=0.0, **options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()  # fresh ones add nothing
    return model.train()


def gradients(model, packed):
    groups = [{"input_ids": [ids]} for ids in model.tokenizer(SENTENCES)["input_ids"]]
    model.packed = packed
    model.zero_grad()
    z = model(**ContrastiveCollator(model.tokenizer)(groups))["embeddings"]
    contrastive_loss(z).backward()
    return {"z": z.detach()} | {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("targets", [None, ["key"], ["value"], ["query", "dense"]])
def test_adapters_count_and_are_trained_in_every_layout(targets, tiny_bert):
    """The packed last layer takes keys' and values' weights for all that these layers do."""
    model = with_random_adapters(tiny_bert, targets=targets).double()
    assert can_pack(model.encoder) == (targets == ["query", "dense"])
    padded = gradients(model, packed=False)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {"lora_" in name or name.startswith("encoder.pooler.") for name in trained} == {True}
    assert "encoder.pooler.dense.weight" in trained
    assert padded.keys() == trained | {"z"}
    assert all(tensor.abs().sum() > 0 for tensor in padded.values())
    assert_equal(gradients(model, packed=True), padded)
    if targets is None:
        checkpoint_activations(model.encoder)
        assert_equal(gradients(model, packed=True), padded)


def test_a_run_leaves_a_plain_folder_and_the_adapters(command, tmp_path, tiny_bert, capsys):
    training.main([*command, "--lora_rank", "2", "--lora_target_modules", "query", "value"])
    said = capsys.readouterr().err
    assert "adapters and heads alone are trained: 656 of " in said  # 3 layers x 2 x 2 x 32, and the pooler's 272
    assert "Warning" not in said
    out = tmp_path / "out"
    for folder in (out, out / "checkpoint-6"):
        assert not (folder / "adapter_config.json").exists()
        assert (folder / ADAPTER_FOLDER / "adapter_model.safetensors").is_file()
    _, info = AutoModel.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    settings = json.loads((out / ADAPTER_FOLDER / "adapter_config.json").read_text())
    assert (settings["lora_alpha"], settings["lora_dropout"]) == (4, DROPOUT)

    base, trained = weights(tiny_bert), weights(out)
    changed = {name for name in base if not torch.equal(base[name], trained[name])}
    layers = {f"encoder.layer.{i}.attention.self.{name}.weight" for i in range(3) for name in ("query", "value")}
    assert changed == layers | {"pooler.dense.weight", "pooler.dense.bias"}

    # peft's own way: the base, and the adapters on top.
    both = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_bert), out / ADAPTER_FOLDER)
    on_top = SentenceModel(both, SentenceModel.from_pretrained(out).tokenizer)
    expected = SentenceEncoder(out, pooler="avg").encode(SENTENCES)
    assert SentenceEncoder(on_top, pooler="avg").encode(SENTENCES) == pytest.approx(expected, abs=5e-4)

    training.main([*command, "--overwrite_output_dir", "--max_steps", "2"])
    assert not (out / ADAPTER_FOLDER).exists()


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_an_unfinished_run_continues_to_the_same_weights(family, command, tmp_path):
    folder = write_family(tmp_path / family, family, masked_lm=True)
    command += ["--model_name_or_path", str(folder), "--max_seq_length", "20", "--lora_rank", "2", "--do_mlm"]
    command += ["--dropout", "0.2"]
    out = tmp_path / "out"
    training.main(command)
    for name in ("checkpoint-6", "."):
        shutil.copytree(out / name, tmp_path / "whole" / name, dirs_exist_ok=True)
    shutil.rmtree(out / "checkpoint-6")
    half = next(out.glob("checkpoint-*"))  # the best, or the one before the last
    (out / "train_results.json").unlink()
    training.main(command)
    for name in ("checkpoint-6", "."):
        assert same_weights(out / name, tmp_path / "whole" / name)
    assert (out / HEADS_FILE).read_bytes() == (tmp_path / "whole" / HEADS_FILE).read_bytes()
    assert not same_weights(half, out / "checkpoint-6")
    best = json.loads((out / "trainer_state.json").read_text())["best_global_step"]
    assert same_weights(out, tmp_path / "whole" / f"checkpoint-{best}")


def test_saving_leaves_the_weights_as_they_are(tiny_bert, tmp_path):
    model = with_random_adapters(tiny_bert)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path, recorded_pooler="cls_before_pooler")
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    expected = SentenceEncoder(model, pooler="cls").encode(SENTENCES)
    assert SentenceEncoder(tmp_path, pooler="cls").encode(SENTENCES) == pytest.approx(expected, abs=5e-4)
    assert not any("lora" in name for name in merged(model.adapters).state_dict())


def test_a_model_of_pefts_is_trained_by_the_trainer(tiny_bert, command, tmp_path):
    model_args, data_args, args = parse_training_arguments([*command[: command.index("--do_eval")], "--max_steps", "2"])
    config = peft.LoraConfig(target_modules=["query"], r=4, use_dora=True, modules_to_save=["pooler"])
    plain = SentenceModel.from_pretrained(tiny_bert)
    model = SentenceModel(peft.get_peft_model(plain.encoder, config), plain.tokenizer)
    model.prepare_training("cls")
    data, _ = load_training_data(Corpus.open(data_args), model.tokenizer)
    trainer = make_trainer(model, model_args, data_args, args, data, None)
    before = SentenceEncoder(model).encode(SENTENCES)
    trainer.train()
    trainer.save_model()
    after = SentenceEncoder(tmp_path / "out").encode(SENTENCES)
    assert after == pytest.approx(SentenceEncoder(model, pooler="cls_before_pooler").encode(SENTENCES), abs=1e-5)
    assert abs(after - before).max() > 1e-3


def test_what_cannot_be_adapters_is_refused(tiny_bert, command, monkeypatch, capsys):
    encoder = AutoModel.from_pretrained(tiny_bert)
    prompts = peft.get_peft_model(
        encoder, peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=2)
    )
    with pytest.raises(ValueError, match="prompts are no adapters"):
        SentenceModel(prompts, None)
    with pytest.raises(UserError, match="no layer is named nowhere; there are dense, key, query, value"):
        training.main([*command, "--lora_rank", "2", "--lora_target_modules", "key", "nowhere"])
    with pytest.raises(UserError, match="--lora_target_modules: .*LayerNorm"):
        training.main([*command, "--lora_rank", "2", "--lora_target_modules", "LayerNorm"])
    with pytest.raises(UserError, match="not BertModel with adapters in its last keys and values"):
        training.main([*command, "--lora_rank", "2", "--padding", "none"])
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="pip install peft, or train all weights with --lora_rank 0"):
        training.main([*command, "--lora_rank", "2"])
    training.main([*command, "--lora_alpha", "2"])  # nothing else needs it
    assert "warning: --lora_alpha does nothing without --lora_rank" in capsys.readouterr().err
