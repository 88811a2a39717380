"""The experiments' files, and the plan of runs that they lead to."""

from pathlib import Path

import pytest

from mixcse.report.figures import PLOTS
from mixcse.reproduce import experiment as experiments
from mixcse.reproduce.experiment import SCALES, load_experiments, load_scale
from mixcse.reproduce.plan import effective, make_plan, parse_overrides, slug_of
from mixcse.train.parsing import parse_training_arguments


@pytest.mark.parametrize("scale", SCALES)
def test_every_experiment_can_be_planned(scale, tmp_path, planned_demo_encoder):
    """Names, options, models, figures, quoted rows: all fit each other and train.py."""
    (tmp_path / "downstream").mkdir()
    overrides = parse_overrides(["--senteval_data", str(tmp_path)])
    known = load_experiments()
    assert list(known)[0] == "main"
    plan = make_plan(list(known.values()), load_scale(scale), [0, 1], overrides)
    assert len({str((one.model, one.pooler, one.seed, effective(one.options))) for one in plan.values()}) == len(plan)
    for slug, one in plan.items():  # a record has no other options than these
        assert slug_of(one.model, one.options, load_scale(scale), one.seed, one.pooler) == slug
    for experiment in known.values():
        if scale == "paper" and experiment.name == "gain_longer":  # three times the demo's steps
            assert experiment.arms_at(scale) == []
            continue
        assert experiment.baseline in [arm.name for arm in experiment.arms_at(scale)]
        assert set(experiment.figures) <= PLOTS.keys()
        assert set(experiment.models) <= set(load_scale("paper").models)
        for row in experiment.quoted:
            assert row.arm in [arm.name for arm in experiment.arms]
            assert row.model in experiment.models
            assert row.source
            assert len(row.scores) in (0, len(experiment.columns) + 1)
            assert bool(row.scores) != (row.average is not None)
            if row.scores:  # a slip of the pen would show
                assert row.scores[-1] == pytest.approx(sum(row.scores[:-1]) / len(experiment.columns), abs=0.015)


def test_the_paper_recipe_is_the_released_one(tmp_path):
    (tmp_path / "downstream").mkdir()
    overrides = parse_overrides(["--senteval_data", str(tmp_path)])
    plan = make_plan([load_experiments()["main"]], load_scale("paper"), [42], overrides)
    model_args, data_args, args = parse_training_arguments(plan["BERT-base_released_seed-42"].train_arguments(tmp_path))
    assert (model_args.model_name_or_path, model_args.pooler_type) == ("bert-base-uncased", "cls")
    assert (model_args.temperature, model_args.mixing_lambda, model_args.variant) == (0.05, 0.2, "released")
    assert [Path(file).name for file in data_args.train_file] == ["wiki1m_for_simcse.txt"]
    assert (args.num_train_epochs, args.per_device_train_batch_size, args.learning_rate) == (1, 64, 3e-5)
    assert (args.eval_steps, args.metric_for_best_model, args.load_best_model_at_end) == (125, "stsb_spearman", True)
    assert (args.seed, data_args.max_seq_length, args.warmup_steps, args.weight_decay) == (42, 32, 0, 0)
    sizes = {name: recipe["per_device_train_batch_size"] for name, recipe in load_scale("paper").models.items()}
    assert sizes == {"BERT-base": 64, "BERT-large": 64, "RoBERTa-base": 512, "RoBERTa-large": 512}


@pytest.fixture()
def planned_demo_encoder(monkeypatch, tiny_bert):
    """The plan needs its path alone."""
    monkeypatch.setattr("mixcse.reproduce.plan.demo_encoder", lambda: tiny_bert)


def test_experiments_share_runs(planned_demo_encoder, tmp_path):
    known, overrides = load_experiments(), parse_overrides(["--senteval_data", str(tmp_path / "none")])
    main = make_plan([known["main"]], load_scale("demo"), [0, 1], overrides)
    both = make_plan([known["main"], known["lambda"], known["mixed_views"]], load_scale("demo"), [0, 1], overrides)
    assert len(main) == 2 + 3 * 2  # two untrained ones; three trained arms
    assert len(both) == len(main) + 4 * 2 + 2 * 2  # lambda 0.2, both views and SimCSE are there already
    assert both["MiniLM_released_seed-0"] == main["MiniLM_released_seed-0"]


def test_options_are_compared_by_value_not_by_spelling(planned_demo_encoder, tmp_path):
    known = load_experiments()["selection"]
    place = ["--senteval_data", str(tmp_path / "none")]

    def key(*overrides):
        plan = make_plan([known], load_scale("demo"), [0], parse_overrides([*place, *overrides]))
        return effective(plan["MiniLM_released_seed-0"].options)

    assert key("--learning_rate", "0.00003") == key("--learning_rate=3e-5") == key("--variant", "released") == key()
    assert key("--learning_rate", "4e-5") != key()
    assert key("--temp", "0.1") == key("--temperature", "0.10") != key()
    assert key("--dataloader_drop_last") != key()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (('name = "SimCSE"', 'nam = "SimCSE"'), "main.toml.*unexpected keyword argument 'nam'"),
        (('tasks = "sts"', ""), "main.toml.*missing.*'tasks'"),
    ],
)
def test_an_experiment_file_with_a_slip_is_refused(monkeypatch, tmp_path, changed, says):
    text = (experiments.FOLDER / "main.toml").read_text()
    (tmp_path / "main.toml").write_text(text.replace(*changed))
    monkeypatch.setattr(experiments, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=says):
        load_experiments()
