"""No record chooses where anything is written."""

import json

import pytest
from test_results import record

from mixcse.reproduce.report import write_report


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b"])
def test_a_record_does_not_choose_where_anything_is_written(tmp_path, name):
    """Figures are named after models, so a record's model has to be a plain name."""
    results = tmp_path / "deep" / "results"
    runs = results / "demo" / "runs"
    runs.mkdir(parents=True)
    for seed in (0, 1):
        one = record(name, seed, 50, scale="demo")
        (runs / f"mine-{seed}.json").write_text(json.dumps(one))
    assert "outside" not in write_report(results).read_text()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != runs]
    assert {path.relative_to(results).as_posix() for path in written} == {"report.md"}
