"""Doing the runs of experiments; train.py and evaluation.py run in this process."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from mixcse.base.errors import UserError
from mixcse.reproduce import cli, record, runner
from mixcse.reproduce import experiment as experiments
from mixcse.reproduce.experiment import load_experiments
from mixcse.reproduce.record import Records
from mixcse.reproduce.runner import RunFailed

ROOT = Path(__file__).parents[2]


def run(names, flags, *more):
    cli.main(["run", *names, *flags, *more])


def test_runs_are_recorded_skipped_and_done_again(flags, tmp_path, in_process, capsys):
    run(["selection"], flags, "--seeds", "1")
    files = sorted((tmp_path / "results" / "runs").glob("*.json"))
    names = ["released_load_best_model_at_end-False_seed-1", "released_seed-1"]
    assert [file.stem.split("_", 1)[1] for file in files] == names
    one = json.loads(files[-1].read_text())
    assert (one["seed"], one["options"]["max_steps"], one["overrides"]["max_steps"]) == (1, 4, "4")
    assert {"model", "train_file", "validation_file", "test_pairs"} == one["data"].keys()
    assert one["machine"]["torch"]
    assert one["commit"] is None or len(one["commit"]) == 40
    assert one["scores"].keys() == {"sample pairs"}
    series = {name: table["step"] for table in one["series"] for name in table}
    assert (series["embedding_gradient_norm"], series["eval_dev_spearman"]) == ([1, 2, 3, 4], [0, 2, 4])
    assert str(tmp_path) not in json.dumps(one)  # nobody else has these folders
    assert files[-1].read_text().count("\n") == len(one)
    assert len(in_process) == 4
    assert not list((tmp_path / "work").rglob("checkpoint-*"))

    in_process.clear()
    capsys.readouterr()
    run(["selection"], flags, "--seeds", "1")
    assert "2 runs, 2 of them finished" in capsys.readouterr().err
    assert not in_process

    files[-1].write_text("{")  # damaged
    with open(tmp_path / "train.txt", "a") as file:
        file.write("\nanother sentence here\n")
    record._file_key.cache_clear()
    with pytest.raises(UserError, match="holds 1 of these runs with other options and data .* pass --replace"):
        run(["selection"], flags, "--seeds", "1", "--weight_decay", "0.1")
    with pytest.raises(UserError, match="holds 1 of these runs with other data .* pass --replace"):
        run(["selection"], flags, "--seeds", "1")
    assert not in_process
    run(["selection"], flags, "--seeds", "1", "--replace")
    assert len(in_process) == 4
    assert "(changed: data)" in capsys.readouterr().err
    assert json.loads(files[-1].read_text())["data"] != one["data"]


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
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "make_record", full)
        with pytest.raises(UserError, match="2 of 2 runs failed"):
            run(["selection"], flags, "--seeds", "0")
    assert set(Records(tmp_path / "results").failures().values()) == {"ValueError: a bug"}
    commits = iter(range(100))
    monkeypatch.setattr(runner, "git_state", lambda: {"commit": str(next(commits)), "dirty": False})
    with pytest.raises(UserError, match="2 of 2 runs failed"):
        run(["selection"], flags, "--seeds", "0")
    assert "the code changed while it ran" in next(iter(Records(tmp_path / "results").failures().values()))


def test_discarded_models_leave_the_rest(flags, tmp_path, in_process):
    run(["selection"], flags, "--seeds", "0", "--discard_models", "--shard", "1/2")
    assert not list((tmp_path / "work").rglob("*.safetensors"))
    assert len(list((tmp_path / "work").rglob("train_results.json"))) == 1


def test_shards_share_the_list(flags, capsys):
    for shard in ("1/3", "2/3", "3/3"):
        run(["selection"], flags, "--seeds", "0", "1", "--shard", shard, "--dry_run")
    slugs = capsys.readouterr().out.split()
    assert len(slugs) == len(set(slugs)) == 4


def test_a_run_that_another_process_is_at_is_left_to_it(flags, tmp_path, in_process, capsys):
    run(["selection"], flags, "--seeds", "0")
    slug = next(iter(Records(tmp_path / "results").read()))
    (tmp_path / "results" / "runs" / f"{slug}.json").unlink()
    (lock,) = (tmp_path / "work").glob(f"{slug}-*.lock")
    assert len(list((tmp_path / "work").glob("*.lock"))) == 2  # one for each run, dots in names or not
    in_process.clear()
    with FileLock(lock):
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
    assert all(list(one["scores"]) == list(tasks) for one in records.read().values())
    assert sum(script == "train.py" for script, _ in in_process) == 4  # two of them find that it is finished
    monkeypatch.setitem(experiments.TASK_SETS, "sts", ("CR",))  # its data is not there; what is known stays
    with pytest.raises(UserError, match="2 of 2 runs failed"):
        run(["selection"], flags)
    assert all("CR was not scored" in reason for reason in records.failures().values())
    assert all(list(one["scores"]) == list(tasks) for one in records.read().values())


def test_list_shows_everything(capsys):
    cli.main(["list"])
    shown = capsys.readouterr().out
    assert all(f"| {name} " in shown for name in load_experiments())


def test_a_dry_run_runs_nothing(flags, in_process, capsys, tmp_path):
    run(["selection"], flags, "--seeds", "7", "--dry_run")
    assert len(capsys.readouterr().out.split()) == 2
    assert not in_process
    assert not (tmp_path / "results").exists()
