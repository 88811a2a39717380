"""Whether records are of today's code: what the probe notices, and what it does not."""

import json
import math
import subprocess
from pathlib import Path

import pytest
import torch

from mixcse import objective
from mixcse.base.errors import UserError
from mixcse.reproduce import probe as probes
from mixcse.reproduce.probe import KINDS, agree, probe


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("probe")
    probes._write_bert(place / "bert")
    return place


def numbers(bert, options=None):
    return probes._trained(bert, "again", {"variant": "simcse", "overwrite_output_dir": True} | (options or {}))


def test_its_numbers_are_those_of_a_process_of_its_own(bert):
    """Which has read the files anew: nothing of this process has a say."""
    measured = probe()
    assert [*measured] == [*KINDS, "untrained", "classifiers"]
    assert all(math.isfinite(number) for values in measured.values() for number in values)
    assert agree({"simcse": numbers(bert)}, measured)
    torch.set_num_threads(2)
    try:
        assert agree({"simcse": numbers(bert)}, measured)
    finally:
        torch.set_num_threads(1)


def test_a_changed_number_shows(bert, monkeypatch):
    measured = probe()
    normalize = torch.nn.functional.normalize
    with monkeypatch.context() as patch:
        patch.setattr(objective.F, "normalize", lambda a, dim: 1.0001 * normalize(a, dim=dim))
        assert not agree({"simcse": numbers(bert)}, measured)
    assert not agree({"simcse": numbers(bert, {"learning_rate": 1.01e-3})}, measured)
    assert not agree({"simcse": numbers(bert, {"dropout": 0.102})}, measured)


@pytest.mark.parametrize(
    ("one", "agrees"),
    [
        ({"a": [1.0, 20.0]}, True),
        ({"a": [1.00005, 19.999]}, True),
        ({"a": [1.0003, 20.0]}, False),
        ({"a": [1.0, 20.0], "new": [3.0]}, True),  # the other one is of before it was asked
        ({"a": [1.0]}, False),
        ({"new": [1.0]}, False),
        ({}, False),
        (None, False),
        ({"a": [math.nan, 20.0]}, False),
    ],
)
def test_agreement(one, agrees):
    assert agree(one, {"a": [1.0, 20.0]}) is agrees


def test_it_is_measured_once_for_each_state_of_the_files(tmp_path, monkeypatch):
    (tmp_path / "mixcse").mkdir()
    source, ran = tmp_path / "mixcse" / "objective.py", []

    def run(*_, **__):
        ran.append(1)
        return subprocess.CompletedProcess([], 0, json.dumps({"a": [len(ran)]}), "")

    monkeypatch.setattr(probes, "ROOT", tmp_path)
    monkeypatch.setattr(probes, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(probes.subprocess, "run", run)
    for text, expected in (("a", 1), ("a", 1), ("b", 2), ("a", 1)):
        source.write_text(text)
        assert probe() == {"a": [expected]}
    (tmp_path / "cache" / f"{probes._state()}.json").write_text("{")  # damaged
    assert probe() == {"a": [3]}


def test_code_that_does_not_run_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "CACHE", tmp_path / "cache")
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nNameError: name 'x' is not defined\n")
    monkeypatch.setattr(probes.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="the code does not run: NameError: name 'x'"):
        probe()
    assert not (tmp_path / "cache").exists()
