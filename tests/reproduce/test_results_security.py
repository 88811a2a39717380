"""The page of results escapes what it shows, and no record chooses where anything is written."""

import json
from pathlib import Path

import pytest
from page_elements import HOSTILE, Elements
from test_results import record

from mixcse.reproduce.report import write_report


def results_page(results: Path, value: str) -> str:
    folder = results / "demo" / value.replace("/", "|")
    (folder / "runs").mkdir(parents=True)
    (folder / "failed").mkdir()
    for seed in (0, 1):
        for variant in ("simcse", "released"):
            model = value.replace("/", "|")
            one = record(f"{model}_{variant}_seed-{seed}", "demo", model, seed, 50 + seed, variant=variant)
            one["machine"] |= dict.fromkeys(("processor", "system", "torch"), value)
            one["options"] |= {"train_file": value.replace("/", "|"), "metric_for_best_model": value.replace("/", "|")}
            (folder / "runs" / f"{one['run']}.json").write_text(json.dumps(one))
        (folder / "failed" / f"{model}_paper_seed-{seed}.txt").write_text(f"train.py: {value}\n")
    return write_report(results)[1].read_text()


def test_the_page_of_results_shows_values_and_no_more(tmp_path):
    plain = Elements(results_page(tmp_path / "plain", "value"))
    hostile = Elements(results_page(tmp_path / "hostile", HOSTILE[:60]))
    assert hostile.found == plain.found
    assert "".join(hostile.text).count(HOSTILE[:60]) >= 3
    assert not any("<" in address or ":" in address for address in hostile.addresses)


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "other"])
def test_a_record_does_not_choose_where_anything_is_written(tmp_path, name):
    """Figures are named after models, and links after runs: a record counts under its own file's name alone."""
    results = tmp_path / "deep" / "results"
    runs = results / "demo" / "runs"
    runs.mkdir(parents=True)
    for seed in (0, 1):
        one = record(f"{name}_released_seed-{seed}", "demo", name, seed, 50)
        (runs / f"mine-{seed}.json").write_text(json.dumps(one))
    html = write_report(results)[1].read_text()
    assert "outside" not in html
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != runs]
    assert {path.relative_to(results).as_posix() for path in written} == {"report.md", "report.html"}
