"""Experiments, the plan of their runs, and doing them; train.py and evaluation.py run in this process."""

import json
from pathlib import Path

import pytest

from mixcse import evaluation, training
from mixcse.console import UserError
from mixcse.parsing import parse_training_arguments
from mixcse.report.figures import PLOTS
from mixcse.reproduce import cli, experiments, keys, runner
from mixcse.reproduce.experiments import NAMES, SCALES, load_experiments, load_scale
from mixcse.reproduce.keys import SOURCES, configuration_key
from mixcse.reproduce.plan import make_plan, parse_overrides
from mixcse.reproduce.record import Records
from mixcse.reproduce.runner import RunFailed

ROOT = Path(__file__).parents[1]


@pytest.fixture()
def flags(tiny_bert, tmp_path, toy_sentences) -> list[str]:
    """Of `run`: a tiny encoder, 4 steps, folders of its own, no SentEval data."""
    train_file = tmp_path / "train.txt"
    train_file.write_text("\n".join(toy_sentences[:64]))
    return [
        *("--scale", "demo", "--results_dir", str(tmp_path / "results"), "--work_dir", str(tmp_path / "work")),
        *("--model_name_or_path", str(tiny_bert), "--train_file", str(train_file), "--learning_rate", "1e-2"),
        *("--max_steps", "4", "--eval_steps", "2", "--per_device_train_batch_size", "8"),
        *("--senteval_data", str(tmp_path / "none")),
    ]


@pytest.fixture()
def in_process(monkeypatch):
    """Calls instead of processes, which take seconds to start; counts them."""
    calls = []

    def execute(script, arguments, folder, lock, bar):
        calls.append((script, list(arguments)))
        try:
            (training if script == "train.py" else evaluation).main(list(arguments))
        except UserError as error:
            raise RunFailed(f"{script}: {error}") from error

    monkeypatch.setattr(runner, "_execute", execute)
    return calls


def run(names, flags, *more):
    cli.main(["run", *names, *flags, *more])


@pytest.mark.parametrize("scale", SCALES)
def test_every_experiment_can_be_planned(scale, tmp_path, demo_encoder_or_skip):
    """Names, options, models, figures, quoted rows: all fit each other and train.py."""
    (tmp_path / "downstream").mkdir()
    overrides = parse_overrides(["--senteval_data", str(tmp_path)])
    known = load_experiments()
    assert list(known) == list(NAMES)
    assert {file.stem for file in (ROOT / "mixcse" / "experiments").glob("*.toml")} == set(NAMES)
    plan = make_plan(list(known.values()), load_scale(scale), [0, 1], overrides)
    assert len({configuration_key(one) for one in plan.values()}) == len(plan)
    for experiment in known.values():
        assert experiment.baseline in [arm.name for arm in experiment.arms_at(scale)]
        assert set(experiment.figures) <= {*PLOTS, "cosines"}
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
    assert Path(data_args.train_file).name == "wiki1m_for_simcse.txt"
    assert (args.num_train_epochs, args.per_device_train_batch_size, args.learning_rate) == (1, 64, 3e-5)
    assert (args.eval_steps, args.metric_for_best_model, args.load_best_model_at_end) == (125, "stsb_spearman", True)
    assert (args.seed, data_args.max_seq_length, args.warmup_steps, args.weight_decay) == (42, 32, 0, 0)
    sizes = {name: recipe["per_device_train_batch_size"] for name, recipe in load_scale("paper").models.items()}
    assert sizes == {"BERT-base": 64, "BERT-large": 64, "RoBERTa-base": 512, "RoBERTa-large": 512}


@pytest.fixture()
def demo_encoder_or_skip(monkeypatch, tiny_bert):
    """The plan needs its path alone."""
    monkeypatch.setattr("mixcse.reproduce.plan.demo_encoder", lambda: tiny_bert)


def test_experiments_share_runs(demo_encoder_or_skip, tmp_path):
    known, overrides = load_experiments(), parse_overrides(["--senteval_data", str(tmp_path / "none")])
    main = make_plan([known["main"]], load_scale("demo"), [0, 1], overrides)
    both = make_plan([known["main"], known["lambda"], known["mixed_views"]], load_scale("demo"), [0, 1], overrides)
    assert len(main) == 2 + 3 * 2  # two untrained ones; three trained arms
    assert len(both) == len(main) + 5 * 2 + 2 * 2  # lambda 0.2, both views and SimCSE are there already
    key = configuration_key(main["MiniLM_released_seed-0"])
    assert configuration_key(both["MiniLM_released_seed-0"]) == key


def test_the_key_is_of_values_not_of_spelling(demo_encoder_or_skip, tmp_path):
    known = load_experiments()["selection"]
    place = ["--senteval_data", str(tmp_path / "none")]

    def key(*overrides):
        plan = make_plan([known], load_scale("demo"), [0], parse_overrides([*place, *overrides]))
        return configuration_key(plan["MiniLM_released_seed-0"])

    assert key("--learning_rate", "0.00003") == key("--learning_rate=3e-5") == key("--variant", "released") == key()
    assert key("--learning_rate", "4e-5") != key()
    assert key("--temp", "0.1") == key("--temperature", "0.10") != key()
    assert key("--dataloader_drop_last") != key()


def test_the_sources_of_the_code_key_exist():
    assert all(list(ROOT.glob(pattern)) for pattern in SOURCES)


def test_runs_are_recorded_skipped_and_done_again(flags, tmp_path, in_process, capsys, monkeypatch):
    run(["selection"], flags, "--seeds", "0", "1")
    files = sorted((tmp_path / "results" / "runs").glob("*.json"))
    assert [file.stem.split("_", 1)[1] for file in files] == [
        f"released_{more}seed-{seed}" for more in ("load_best_model_at_end-False_", "") for seed in (0, 1)
    ]
    record = json.loads(files[-1].read_text())
    assert (record["seed"], record["steps"], record["arguments"]["max_steps"]) == (1, 4, 4)
    assert record["kept_step"] in (2, 4)
    assert set(record["keys"]) == {"configuration", "code", "data"}
    assert record["machine"]["torch"]
    assert record["seconds"]["training"] > 0
    assert record["scores"]["own_pairs"]["nsamples"] == 130
    assert [entry["step"] for entry in record["history"] if "embedding_gradient_norm" in entry] == [1, 2, 3, 4]
    assert record["commands"][0].startswith("python train.py ")
    assert str(tmp_path) not in json.dumps(record)  # nobody else has these folders
    last = json.loads(files[0].read_text())
    assert last["kept_step"] == 4
    assert len(in_process) == 8
    assert not list((tmp_path / "work").rglob("checkpoint-*"))

    in_process.clear()
    capsys.readouterr()
    run(["selection"], flags, "--seeds", "0", "1")
    assert "4 runs, 4 of them finished" in capsys.readouterr().err
    assert not in_process

    files[-1].write_text("{")  # damaged
    with open(tmp_path / "train.txt", "a") as file:
        file.write("\nanother sentence here\n")
    keys._file_key.cache_clear()
    with pytest.raises(UserError, match="other options on the command line, such as"):
        run(["selection"], flags, "--seeds", "0", "1", "--weight_decay", "0.1")
    with pytest.raises(UserError, match="holds 3 of these runs with other data .* pass --replace"):
        run(["selection"], flags, "--seeds", "0", "1")
    assert not in_process
    run(["selection"], flags, "--seeds", "0", "1", "--replace")
    assert len(in_process) == 8
    assert "(changed: data)" in capsys.readouterr().err
    assert json.loads(files[-1].read_text())["keys"]["data"] != record["keys"]["data"]
    assert len(list((tmp_path / "results" / "superseded").glob("*.json"))) == 3
    monkeypatch.setattr("mixcse.reproduce.record.code_key", lambda: "another")
    run(["selection"], flags, "--seeds", "0", "1")  # needs no asking
    assert len(in_process) == 16
    assert len(list((tmp_path / "results" / "superseded").glob("*.json"))) == 7


def test_a_failing_run_does_not_stop_the_rest(flags, tmp_path, in_process, capsys, monkeypatch):
    execute = runner._execute

    def fails_for_seed_0(script, arguments, *rest):
        if script == "train.py" and arguments[arguments.index("--seed") + 1] == "0":
            raise RunFailed("train.py: no memory left")
        execute(script, arguments, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_execute", fails_for_seed_0)
        with pytest.raises(UserError, match="2 of 4 runs failed, such as"):
            run(["selection"], flags, "--seeds", "0", "1")
    assert "no memory left" in capsys.readouterr().err
    records = Records(tmp_path / "results")
    assert len(records.read()) == 2
    assert set(records.failures().values()) == {"train.py: no memory left"}
    in_process.clear()
    run(["selection"], flags, "--seeds", "0", "1")
    assert len(in_process) == 4
    assert not records.failures()


def test_anything_that_goes_wrong_is_the_runs_own_failure(flags, tmp_path, in_process, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "make_record", full)
        with pytest.raises(UserError, match="2 of 2 runs failed"):
            run(["selection"], flags, "--seeds", "0")
    assert set(Records(tmp_path / "results").failures().values()) == {"OSError: No space left on device"}
    changing = iter(range(100))
    monkeypatch.setattr("mixcse.reproduce.record.code_key", lambda: str(next(changing)))
    with pytest.raises(UserError, match="2 of 2 runs failed"):
        run(["selection"], flags, "--seeds", "0")
    assert "code or data changed while it ran" in next(iter(Records(tmp_path / "results").failures().values()))


def test_discarded_models_leave_their_pages(flags, tmp_path, in_process):
    run(["selection"], flags, "--seeds", "0", "--discard_models")
    assert not list((tmp_path / "work").rglob("*.safetensors"))
    assert len(list((tmp_path / "work").rglob("report.html"))) == 2


def test_shards_share_the_list(flags, tmp_path, in_process):
    for shard in ("1/3", "2/3", "3/3"):
        run(["selection"], flags, "--seeds", "0", "1", "--shard", shard)
    assert len(Records(tmp_path / "results").read()) == 4
    assert len(in_process) == 8


def test_a_run_that_another_process_is_at_is_left_to_it(flags, tmp_path, in_process, capsys):
    run(["selection"], flags, "--seeds", "0")
    slug = next(iter(Records(tmp_path / "results").read()))
    (tmp_path / "results" / "runs" / f"{slug}.json").unlink()
    (lock,) = (tmp_path / "work").glob(f"{slug}-*.lock")
    assert len(list((tmp_path / "work").glob("*.lock"))) == 2  # one for each run, dots in names or not
    in_process.clear()
    with runner._locked(lock):
        run(["selection"], flags, "--seeds", "0")
    assert not in_process
    assert "1 runs were left to other processes" in capsys.readouterr().err


def test_a_new_task_set_reuses_the_trained_model(flags, tmp_path, in_process, toy_senteval, monkeypatch):
    """The record of a run grows when another experiment asks for more of it."""
    place = flags.index("--senteval_data")
    flags = [*flags[:place], "--senteval_data", str(toy_senteval), *flags[place + 2 :], "--seeds", "0"]
    experiment = load_experiments()["selection"]
    for tasks in (("STSBenchmark",), ("STSBenchmark", "SICKRelatedness")):
        monkeypatch.setitem(experiments.TASK_SETS, "sts", tasks)
        assert experiment.columns == tasks
        run(["selection"], flags)
    records = Records(tmp_path / "results")
    assert all(list(one["scores"]["headline"]) == list(tasks) for one in records.read().values())
    assert not (tmp_path / "results" / "superseded").exists()
    monkeypatch.setitem(experiments.TASK_SETS, "sts", ("CR",))  # its data is not there; what is known stays
    with pytest.raises(UserError, match="2 of 2 runs failed"):
        run(["selection"], flags)
    assert all("CR was not scored" in reason for reason in records.failures().values())
    assert all(list(one["scores"]["headline"]) == list(tasks) for one in records.read().values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "nothing"], "no experiment 'nothing'"),
        (["run", "main", "--scale", "huge"], "invalid choice"),
        (["run", "main", "--shard", "0/2"], "expected I/N"),
        (["run", "main", "--shard", "3/2"], "expected I/N"),
        (["run", "main", "--shard", "x"], "expected I/N"),
        (["run", "main", "--seeds", "-1"], "--seed must lie"),
        (["run", "main", "--seeds", "one"], "invalid int"),
        (["run", "main", "--seed", "1"], "see --seeds"),
        (["run", "main", "--output_dir", "x"], "decided by the plan"),
        (["run", "lambda", "--mixing_lambda", "0.3"], "lambda varies it"),
        (["run", "lambda", "--lambdas", "0.3"], "lambda varies it"),
        (["run", "lambda", "--mixing-lambda", "0.3"], "lambda varies it"),
        (["run", "stop_gradient", "--no_stop_gradient"], "stop_gradient varies it"),
        (["run", "main", "--output-dir", "x"], "decided by the plan"),
        (["run", "main", "--senteval_data"], "senteval_data.*expected one argument"),
        (["run", "main", "--max_stepz", "3"], "did you mean --max_steps"),
        (["run", "transfer"], "holds no SentEval data"),
        (["run", "main", "--train_file", "nowhere.txt"], "nowhere.txt is not there"),
        (["report", "--results_dir", "nowhere"], "no such folder"),
        (["report", "extra"], "unexpected argument"),
        (["dance"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_words_get_one_line(words, says, flags):
    own = words and words[0] == "run"
    with pytest.raises(UserError, match=says) as error:
        cli.main([*words[:2], *flags, *words[2:]] if own else words)
    assert "\n" not in str(error.value)


def test_folders_that_cannot_be_written_are_said_before_anything_is_run(flags, tmp_path, in_process):
    (tmp_path / "file").write_text("")
    for option in ("--results_dir", "--work_dir"):
        with pytest.raises(UserError, match=option):
            run(["selection"], flags, option, str(tmp_path / "file" / "x"))
    assert not in_process


def test_list_shows_everything(capsys):
    cli.main(["list"])
    shown = capsys.readouterr().out
    assert all(f"| {name} " in shown for name in NAMES)


def test_a_dry_run_runs_nothing(flags, in_process, capsys, tmp_path):
    run(["selection"], flags, "--seeds", "7", "--dry_run")
    assert len(capsys.readouterr().out.split()) == 2
    assert not in_process
    assert not (tmp_path / "results").exists()


def test_an_experiment_file_with_a_slip_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="main.toml: arm has a key too many or too few: \\['option'\\]"):
        experiments._checked(experiments.Arm, {"name": "x", "option": {}}, "main.toml")
    with pytest.raises(ValueError, match="name"):
        experiments._checked(experiments.Arm, {}, "main.toml")
