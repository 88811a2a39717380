"""`train.py` from its command line to its folder, on a tiny encoder."""

import json
import random

import numpy as np
import pytest
import torch
from run_folder import logged, own_pairs, same_weights, weights
from transformers import AutoModel

import senteval
from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.evaluate.dev import DevSets
from mixcse.objective import alignment_loss, contrastive_loss
from mixcse.train import run as training
from mixcse.train.trainer import MixCSETrainer

pytestmark = pytest.mark.usefixtures("bare_runs")


def blind(command):
    """Without dev scores."""
    return command[: command.index("--do_eval")]


def test_what_a_run_leaves(command, tmp_path, capsys):
    training.main(command)
    out = tmp_path / "out"
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "trainer_state.json"} <= names
    assert {"train_results.json", "eval_results.json", "arguments.json"} <= names
    assert not any(name.startswith(".") or name.endswith(".bin") for name in names)
    _, info = AutoModel.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert json.loads((out / "config.json").read_text())["sentence_pooler"] == "cls_before_pooler"

    # The untrained model first.
    for key in ("stsb_spearman", "sickr_spearman", "avg_sts", "alignment", "uniformity"):
        assert list(logged(out, f"eval_{key}")) == [0, 2, 4, 6]
    for key in ("loss", "positive_similarity", "negative_similarity", "mixed_similarity"):
        assert list(logged(out, key)) == [2, 4, 6]

    said = capsys.readouterr().err
    assert "step 6/6" in said
    assert "STS-B dev" in said
    assert "Warning" not in said
    arguments = json.loads((out / "arguments.json").read_text())
    assert (arguments["temperature"], arguments["learning_rate"]) == (0.05, 1e-2)


def test_the_folder_holds_the_best_step(whole, toy_senteval):
    """Saved, loaded and scored by the public encoder with the training pooler, it has the logged score."""
    scores = {step: score for step, score in logged(whole, "eval_stsb_spearman").items() if step > 0}
    best = max(scores, key=scores.get)
    assert same_weights(whole, whole / f"checkpoint-{best}")
    results = json.loads((whole / "eval_results.json").read_text())
    assert results["step"] == best
    assert results["eval_stsb_spearman"] == scores[best]
    suite = senteval.Suite.load(["STSBenchmark"], toy_senteval, splits=["dev"])
    score = suite.score(suite.embed(SentenceEncoder(whole, pooler="cls").encode))["STSBenchmark"]["dev"]["spearman"][0]
    assert score == pytest.approx(scores[best], abs=1e-6)


def test_training_lowers_the_loss(command, tmp_path):
    training.main([*command, "--max_steps", "30", "--learning_rate", "3e-3", "--eval_steps", "10"])
    losses = list(logged(tmp_path / "out", "loss").values())
    assert losses[-1] < 0.7 * losses[0]


def test_the_seed_alone_makes_the_weights(command, whole, tmp_path):
    """Evaluations and log lines do not."""
    for name, options in {
        "again": command,
        "watched": [*command, "--eval_steps", "1", "--logging_steps", "1", "--load_best_model_at_end", "False"],
        "blind": [*blind(command), "--logging_steps", "100"],
        "another": [*command, "--seed", "1"],
    }.items():
        training.main([*options, "--output_dir", str(tmp_path / name)])
    assert same_weights(tmp_path / "again", whole)
    assert same_weights(tmp_path / "watched", tmp_path / "blind")
    assert not same_weights(tmp_path / "another", whole)


def test_evaluate_leaves_every_generator_as_it_was(command, tmp_path, monkeypatch):
    states, evaluate, score = [], MixCSETrainer.evaluate, DevSets.score

    def draw(self, encode):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
        return score(self, encode)

    def watched(self, *arguments, **keywords):
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        metrics = evaluate(self, *arguments, **keywords)
        after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
        states.append(torch.equal(before[0], after[0]) and (before[1] == after[1]).all() and before[2] == after[2])
        return metrics

    monkeypatch.setattr(DevSets, "score", draw)
    monkeypatch.setattr(MixCSETrainer, "evaluate", watched)
    training.main([*command, "--max_steps", "1", "--eval_steps", "1"])
    assert states == [True, True]


def test_without_dev_data(command, tmp_path, capsys):
    nowhere = [*command, "--senteval_data", str(tmp_path / "none")]
    with pytest.raises(UserError, match="no dev data: .*mixcse.fetch"):
        training.main([*nowhere, "--metric_for_best_model", "stsb_spearman"])
    training.main(blind(command))
    assert "no dev scores" in capsys.readouterr().err
    assert not (tmp_path / "out" / "eval_results.json").exists()


def test_own_dev_pairs_select(command, tmp_path):
    arguments = [*command, "--eval_path", str(own_pairs(tmp_path)), "--metric_for_best_model", "dev_spearman"]
    training.main(arguments)
    assert list(logged(tmp_path / "out", "eval_dev_spearman")) == [0, 2, 4, 6]
    (tmp_path / "own.csv").write_text("nonsense\n")
    with pytest.raises(UserError, match="validation_file.*line 1: columns nonsense; expected"):
        training.main([*arguments, "--output_dir", str(tmp_path / "other")])


@pytest.mark.parametrize("extra", [["--mlp_only_train"], ["--pooler_type", "avg"], ["--pad_to_max_length"]])
def test_options_run(command, tmp_path, extra):
    training.main([*command, "--max_steps", "2", *extra])
    recorded = json.loads((tmp_path / "out" / "config.json").read_text())["sentence_pooler"]
    assert recorded == ("avg" if "avg" in extra else "cls_before_pooler")


def test_the_masked_lm_loss_is_added(command, tmp_path):
    losses = {}
    for weight in ("0.5", "0"):
        training.main([*command, "--do_mlm", "--mlm_weight", weight, "--max_steps", "2", "--overwrite_output_dir"])
        losses[weight] = logged(tmp_path / "out", "loss")[2]
    assert (tmp_path / "out" / "checkpoint-2" / "mixcse_heads.safetensors").exists()
    assert losses["0"] < losses["0.5"]


@pytest.mark.parametrize("variant", ["released", "adaptive", "paper", "simcse"])
def test_triplets_and_variants_run(command, tmp_path, variant):
    path = tmp_path / "triplets.csv"
    rows = [f"the cat {'sat ' * i},a cat {'sat ' * i},the dog {'ran ' * i}" for i in range(12)]
    path.write_text("\n".join(["sent0,sent1,hard_neg", *rows]))
    arguments = [*blind(command), "--train_file", str(path), "--variant", variant, "--hard_negative_weight", "1"]
    training.main([*arguments, "--max_steps", "2"])
    assert logged(tmp_path / "out", "train_loss")
    assert (tmp_path / "out" / "README.md").exists()


def test_accumulation_averages(command, whole, tmp_path):
    """Two micro-batches of 8 give the loss of a batch of 8, not twice that."""
    training.main([*command, "--max_steps", "2", "--gradient_accumulation_steps", "2"])
    assert logged(tmp_path / "out", "loss")[2] == pytest.approx(logged(whole, "loss")[2], rel=0.3)


@pytest.mark.parametrize(
    "objective", [{}, {"mix_with": "hardest"}, {"negative_weight": 3.0, "detached_negatives": 0.5}]
)
@pytest.mark.parametrize("alignment_weight", [0.0, 2.0])
def test_the_logged_loss_is_the_objective(command, objective, alignment_weight, monkeypatch):
    seen, compute = [], MixCSETrainer.compute_loss

    def spy(self, model, inputs, return_outputs=False, **keywords):
        loss, outputs = compute(self, model, inputs, return_outputs=True, **keywords)
        expected = contrastive_loss(outputs["embeddings"], temperature=0.05, mixing_lambda=0.2, **objective)
        if alignment_weight:
            expected += alignment_weight * alignment_loss(outputs["embeddings"])
        seen.append((loss.item(), expected.item()))
        return loss

    monkeypatch.setattr(MixCSETrainer, "compute_loss", spy)
    options = [f"--{name}={value}" for name, value in (objective | {"alignment_weight": alignment_weight}).items()]
    training.main([*blind(command), "--max_steps", "1", *options])
    assert seen[0][0] == seen[0][1]


def test_bfloat16_keeps_the_weights_in_float32(command, tmp_path):
    training.main([*blind(command), "--max_steps", "2", "--bf16", "--use_cpu"])
    assert weights(tmp_path / "out")["embeddings.word_embeddings.weight"].dtype == torch.float32


def test_tensorboard_gets_losses_scores_and_signals(command, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training.main([*command, "--report_to", "tensorboard", "--logging_steps", "2"])
    (events,) = (tmp_path / "out").rglob("events.out.tfevents*")
    log = EventAccumulator(str(events)).Reload()
    assert [event.step for event in log.Scalars("train/embedding_gradient_norm")] == [2, 4, 6]
    assert [event.step for event in log.Scalars("eval/stsb_spearman")] == [0, 2, 4, 6]


def test_batches_by_length(command, tmp_path, monkeypatch, capsys):
    """True lengths, in tokens."""
    spreads, compute = {"random": [], "group_by_length": []}, MixCSETrainer.compute_loss
    (tmp_path / "train.txt").write_text("\n".join(f"the cat {'sat ' * (i % 16)}{i}" for i in range(640)))
    for strategy, spread in spreads.items():

        def spy(self, model, inputs, *arguments, spread=spread, **keywords):
            lengths = inputs["attention_mask"][:, 0].sum(1)
            spread.append((lengths.max() - lengths.min()).item())
            return compute(self, model, inputs, *arguments, **keywords)

        monkeypatch.setattr(MixCSETrainer, "compute_loss", spy)
        options = ["--train_sampling_strategy", strategy, "--output_dir", str(tmp_path / strategy)]
        training.main([*blind(command), "--max_steps", "4", *options])
    assert np.mean(spreads["group_by_length"]) < np.mean(spreads["random"]) / 2
    assert "the negatives of a sentence are of a length like its own" in capsys.readouterr().err
