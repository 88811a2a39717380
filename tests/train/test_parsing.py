"""`train.py`'s options: upstream's flags, defaults, JSON files, and typing errors."""

import json
import shutil

import pytest

from mixcse.base.errors import UserError
from mixcse.base.fields import warn_of_idle
from mixcse.train.parsing import parse_training_arguments

RELEASED = (
    "--model_name_or_path bert-base-uncased --train_file data/wiki1m_for_simcse.txt --eval_path data/sts-dev.tsv "
    "--output_dir result/x --num_train_epochs 1 --per_device_train_batch_size 64 --learning_rate 3e-5 "
    "--max_seq_length 32 --evaluation_strategy steps --metric_for_best_model stsb_spearman --load_best_model_at_end "
    "--eval_steps 125 --pooler_type cls --overwrite_output_dir --temp 0.05 --do_train --do_eval --seed 42 "
    "--lambdas 0.2 --hard_negative_weight 0 --mlm_weight 0.1 --mlm_probability 0.15 --preprocessing_num_workers 2"
)


def test_the_released_command_means_what_it_meant():
    model_args, data_args, args = parse_training_arguments(RELEASED.split())
    assert model_args.objective == {
        "temperature": 0.05,
        "mixing_lambda": 0.2,
        "variant": "released",
        "hard_negative_weight": 0.0,
        "mixed_views": "both",
        "mix_with": "next",
        "stop_gradient": True,
        "negative_weight": 1.0,
        "detached_negatives": 0.0,
    }
    assert (args.eval_strategy, args.save_strategy, args.eval_steps, args.save_steps) == ("steps", "steps", 125, 125)
    assert (args.lr_scheduler_type, args.warmup_steps, args.weight_decay) == ("linear", 0, 0.0)
    assert args.load_best_model_at_end
    assert data_args.max_seq_length == 32


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("temp", "temperature", "0.1"),
        ("lambdas", "mixing_lambda", "0.3"),
        ("evaluation_strategy", "eval_strategy", "epoch"),
        ("eval_path", "validation_file", "pairs.csv"),
    ],
)
def test_old_names_of_options(old, new, value):
    by_old, by_new = (parse_training_arguments(["--output_dir", "x", f"--{name}", value]) for name in (old, new))
    assert by_old[0] == by_new[0]
    assert getattr(by_old[2], new, None) == getattr(by_new[2], new, None)


def test_defaults_are_the_released_recipe():
    released = parse_training_arguments(RELEASED.split())
    default = parse_training_arguments(["--output_dir", "result/x", "--do_eval"])
    for ours, theirs in zip(default, released, strict=True):
        for name in ("learning_rate", "num_train_epochs", "per_device_train_batch_size", "max_seq_length", "seed"):
            assert getattr(ours, name, None) == getattr(theirs, name, None)
    assert default[0] == released[0]


def test_arguments_from_a_json_file(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"output_dir": "x", "temp": 0.1, "do_eval": True, "cache_dir": None}))
    model_args, _, args = parse_training_arguments([str(path), "--seed", "7"])
    assert (model_args.temperature, args.seed, args.do_eval) == (0.1, 7, True)


def test_the_recorded_arguments_can_be_given_again(tmp_path, command):
    from mixcse.train import run as training

    training.main([*command, "--max_steps", "2", "--lr_scheduler_kwargs", "{}"])
    recorded = tmp_path / "out" / "arguments.json"
    first, again = (parse_training_arguments(argv) for argv in ([*command, "--max_steps", "2"], [str(recorded)]))
    assert first[0] == again[0]
    assert (again[2].max_steps, again[2].learning_rate, again[2].eval_steps) == (2, 1e-2, 2)
    training.main([str(recorded), "--output_dir", str(tmp_path / "again")])
    assert (tmp_path / "again" / "model.safetensors").exists()


def test_a_model_of_the_hub_without_a_network_is_not_waited_for(monkeypatch, tiny_bert, tmp_path):
    """Neither one that is not there, nor one that has been downloaded, with its masked-LM head."""
    from huggingface_hub import constants

    from mixcse.model.loading import load_encoder
    from mixcse.model.sentence_model import SentenceModel

    kept = tmp_path / "models--me--model"
    shutil.copytree(tiny_bert, kept / "snapshots" / ("a" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("a" * 40)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits between attempts"))
    with pytest.raises(UserError, match="nobody/has-this: no such folder, and the Hugging Face Hub did not give it"):
        load_encoder("nobody/has-this")
    model = SentenceModel.from_pretrained("me/model", cache_dir=str(tmp_path))
    model.prepare_training("cls", mlm_from="me/model", cache_dir=str(tmp_path))


def test_options_that_do_nothing_are_warned_of(capsys):
    warn_of_idle(*parse_training_arguments(RELEASED.split()))
    assert capsys.readouterr().err == ""
    line = "--output_dir x --pooler_type avg --mlp_only_train --variant simcse --mixed_views first --no_stop_gradient "
    line += (
        "--mix_with hardest --mlm_probability 0.3 --lora_dropout 0 --early_stopping_threshold 1 --dataset_split test"
    )
    warn_of_idle(*parse_training_arguments(line.split()))
    assert capsys.readouterr().err.splitlines() == [
        f"warning: --{option} does nothing without --{needed}"
        for option, needed in (
            ("mlp_only_train", "pooler_type cls"),
            ("mixed_views", "variant released or adaptive"),
            ("mix_with", "variant released or adaptive or paper"),
            ("stop_gradient", "variant released or adaptive or paper"),
            ("lora_dropout", "lora_rank"),
            ("dataset_split", "dataset_name"),
            ("mlm_probability", "do_mlm"),
            ("early_stopping_threshold", "early_stopping_patience"),
        )
    ]


def test_steps_may_be_shares_of_a_run_and_no_limit_keeps_all(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"output_dir": "x", "logging_steps": 0.25, "save_steps": 0.5, "save_total_limit": None}))
    args = parse_training_arguments([str(path), "--eval_strategy", "no"])[2]
    assert (args.logging_steps, args.save_steps, args.save_total_limit) == (0.25, 0.5, 0)
    with pytest.raises(UserError, match="--eval_steps must be a whole number of at least 1, or a share of the run"):
        parse_training_arguments(["--output_dir", "x", "--eval_steps", "1.5"])
