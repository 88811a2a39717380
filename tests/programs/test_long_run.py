"""A long run does not grow: memory, files and threads stay as they are, logs follow the steps."""

import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest

from mixcse.base.files import ROOT, read_json
from mixcse.train import run as training
from mixcse.train.trainer import MixCSETrainer

FLAT = 0.02  # of memory; of what is counted, nothing may come to be


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
def test_a_thousand_steps_and_the_use_of_what_they_trained(tmp_path):
    path, file = os.pathsep.join((str(ROOT), str(ROOT / "SentEval"))), tmp_path / "measured.json"
    script = [sys.executable, str(ROOT / "benchmarks" / "long_run.py")]
    run = subprocess.run(
        [*script, "--steps", "1000", "--calls", "60", "--output_json", str(file)],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results = json.loads(file.read_text(encoding="utf-8"))
    for title, grown in results["growth"].items():
        first, most = grown["memory (MB)"]
        assert most < (1 + FLAT) * first, title
        first, most = grown["objects"]
        assert most - first < 100, title  # one a step would be 800
        assert all(len(set(grown[name])) == 1 for name in ("open files", "cache (kB)")), title
        first, most = grown["threads"]
        assert most - first < 3, title  # libraries start theirs late on a busy machine; one a call would be 48

    rows = results["training"]
    assert len(rows) == 20 and rows[-1]["step"] == 1000
    assert {row["checkpoints"] for row in rows[5:]} <= {2, 3}  # the newest two and the best
    assert {row["files"] for row in rows[1:]} == {rows[0]["files"]}
    assert {after["log entries"] - before["log entries"] for before, after in pairwise(rows)} == {4}  # a period is 25
    lines = [after["stderr (kB)"] - before["stderr (kB)"] for before, after in pairwise(rows)]
    assert 0 < max(lines) < 0.5, "four lines of a screen's width"


def test_what_callbacks_keep_does_not_grow_from_one_continuation_to_the_next(command, tmp_path, bare_runs, monkeypatch):
    class Killed(Exception):
        pass

    save = MixCSETrainer._save_checkpoint

    def save_then_die(self, *args):
        save(self, *args)
        raise Killed

    command += ["--early_stopping_patience", "9"]
    with monkeypatch.context() as patch:
        patch.setattr(MixCSETrainer, "_save_checkpoint", save_then_die)
        for _ in range(2):
            with pytest.raises(Killed):
                training.main(command)
    training.main(command)

    states = [read_json(tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json") for step in (4, 6)]
    states.append(read_json(tmp_path / "out" / "trainer_state.json"))
    sizes = [{name: len(json.dumps(state)) for name, state in one["stateful_callbacks"].items()} for one in states]
    assert "EarlyStoppingCallback" in sizes[0]
    # A counter's digits and true for false.
    assert all(abs(size - sizes[0][name]) < 5 for later in sizes for name, size in later.items()), sizes
    steps = [log["step"] for log in states[-1]["log_history"] if "eval_stsb_spearman" in log]
    assert steps == [0, 2, 4, 6]
