"""From records to the report: numbers, what is quoted, what is missing; and a killed run's way back."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from run_folder import HISTORY
from scipy import stats

from mixcse.report.traces import log_of, tables_of
from mixcse.reproduce.report import write_report
from mixcse.reproduce.statistics import Paired, Summary, corrected, inside, paired, show_effect

GRADIENT = "The claim: hard negatives keep the gradient strong, BERT-base"
STS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness")


def record(model, seed, average, *, scale="paper", pooler=None, **options):
    """A run whose seven scores have this average."""
    machine = {"device": "cpu", "processor": "P", "cores": 2, "system": "S", "python": "3"}
    return {
        "scale": scale,
        "model": model,
        "seed": seed,
        "pooler": pooler,
        "options": options,
        "overrides": {},
        "data": {"train_file": "d"},
        "commit": "0123456789abcdef",
        "dirty": False,
        "machine": machine | {"torch": "2", "transformers": "5"},
        "scores": {task: average + place for place, task in enumerate(STS, -3)},
    } | ({} if pooler else {"series": tables_of(log_of(HISTORY))})


@pytest.fixture()
def results(tmp_path, monkeypatch):
    """Paper scale: SimCSE and MixCSE on BERT-base, three seeds; one MixCSE run failed.  Demo scale: nothing."""
    monkeypatch.setattr("mixcse.reproduce.report.draw_figure", lambda name, traces: (Figure(), name))  # quick
    folder = tmp_path / "results" / "paper" / "wiki"
    (folder / "runs").mkdir(parents=True)
    untrained = record("BERT-base", None, 31.4, pooler="cls_before_pooler")
    (folder / "runs" / "untrained.json").write_text(json.dumps(untrained))
    for seed, simcse, mixcse in ((0, 75.0, 77.0), (1, 76.0, 78.0), (2, 77.0, 79.5)):
        for variant, average in (("simcse", simcse), ("released", mixcse)):
            one = record("BERT-base", seed, average, variant=variant)
            (folder / "runs" / f"BERT-base_{variant}_seed-{seed}.json").write_text(json.dumps(one))
    (folder / "failed").mkdir()
    (folder / "failed" / "BERT-base_paper_seed-1.txt").write_text("train.py: <no memory>\n")
    return tmp_path / "results"


def rows_of(markdown, title):
    """The lines of the first table under a heading, as lists of cells."""
    section = markdown.split(f"### {title}\n")[1].split("\n### ")[0]
    table = section.split("| --- |", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_the_report_says_what_was_measured_and_what_was_not(results):
    markdown = write_report(results).read_text()
    rows = {row[0]: row for row in rows_of(markdown, "Main table: STS, BERT-base")}
    assert rows["SimCSE"][1] == "3"
    assert rows["SimCSE"][9] == "76.00 ± 1.00"
    assert rows["MixCSE (released)"][2] == "75.17 ± 1.26"  # STS12: three below the average
    assert rows["untrained, CLS"][9] == "31.40"
    assert set(rows["MixCSE (paper's equation) (not measured here)"][2:10]) == {"–"}
    remarks = [row[-1] for row in rows_of(markdown, "Main table: STS, BERT-base") if "(quoted)" in row[0]]
    assert remarks[2] == "ours -0.25, inside the spread"
    assert "SimCSE, paper: Gao et al., EMNLP 2021, as later READMEs give it; " in markdown
    assert rows["*third party, authors' code, seeds 0 to 3 (quoted)*"][-1] == "ours +1.65, inside the spread"
    assert "| MixCSE (released) − SimCSE | +2.17 [+1.45, +2.88] | 3 | 0.006 | 0.997 | higher |" in markdown
    assert "| MixCSE (released) − SimCSE | +2.17 ± 0.29 (3/3) | +2.17 ± 0.29 (3/3) |" in markdown  # each task's
    assert "MixCSE (paper's equation), seed 1: failed: train.py: <no memory>" in markdown
    assert "untrained, first and last layer: not run" in markdown
    assert "python 3, torch 2, transformers 5; commit 0123456789." in markdown
    assert "Nothing was measured here at this scale" not in markdown
    assert [row[0] for row in rows_of(markdown, GRADIENT)][0] == "SimCSE"
    assert "| SimCSE | – | 0.0500 ± 0.0000 | – | – |" in markdown
    for link in re.findall(r"\]\(([^)]+)\)", markdown):
        assert (results / link).exists(), link


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_records_of_several_commits_are_told(results):
    change(results / "paper" / "wiki" / "runs" / "BERT-base_simcse_seed-0.json", commit="fedcba9876543210", dirty=True)
    markdown = write_report(results).read_text()
    assert "commit 0123456789; and P, 2 cores, S; " in markdown
    assert "commit fedcba9876 with uncommitted changes." in markdown
    assert "**These records come from several machines, library versions or commits" in markdown


def test_a_record_counts_by_its_options_not_by_its_file(results):
    runs = results / "paper" / "wiki" / "runs"
    before = write_report(results).read_text()
    for number, file in enumerate(runs.glob("*.json")):
        file.rename(runs / f"{number}.json")
    assert write_report(results).read_text() == before


def test_former_names_of_options_are_known(results):
    for file in (results / "paper" / "wiki" / "runs").glob("BERT-base_released_*.json"):
        change(file, options={"lambdas": 0.1})
    assert "lambda 0.1 | 3 |" in write_report(results).read_text()


def test_a_run_with_another_value_of_what_an_arm_sets_is_not_shown_as_that_arm(results):
    for seed in range(3):
        file = results / "paper" / "wiki" / "runs" / f"BERT-base_released_seed-{seed}.json"
        change(file, options={"variant": "adaptive"}, overrides={"variant": "adaptive"})
    rows = {row[0]: row for row in rows_of(write_report(results).read_text(), "Main table: STS, BERT-base")}
    assert "MixCSE (released) (not measured here)" in rows


def test_without_records_everything_is_quoted(tmp_path):
    markdown = write_report(tmp_path).read_text()
    assert "Nothing was measured here at this scale" in markdown
    rows = rows_of(markdown, "Main table: STS, BERT-large")
    assert all("(quoted)" in row[0] or "(not measured here)" in row[0] for row in rows)


def test_records_of_other_options_or_data_are_not_averaged_with_the_rest(results):
    file = results / "paper" / "wiki" / "runs" / "BERT-base_released_seed-0.json"
    plain = json.loads(file.read_text())
    for changed in ({"overrides": {"learning_rate": "0.1"}}, {"data": {"train_file": "other"}}):
        change(file, **plain | changed)
        markdown = write_report(results).read_text()
        rows = {row[0]: row for row in rows_of(markdown, "Main table: STS, BERT-base")}
        assert rows["MixCSE (released)"][1] == "2"
        assert "1 records were made with other options or data and are left out" in markdown


def test_options_of_the_command_line_are_told(results):
    for file in (results / "paper" / "wiki" / "runs").glob("*.json"):
        options = json.loads(file.read_text())["options"] | {"train_file": "data/mine.txt"}
        change(file, overrides={"learning_rate": "0.1"}, options=options)
    markdown = write_report(results).read_text()
    assert "| `learning_rate` | 3e-05 | 0.1 |" in markdown
    assert "| `train_file` | wiki1m_for_simcse.txt | mine.txt |" in markdown


def test_files_that_are_no_records_are_left_out_with_a_warning(results, capsys):
    before = write_report(results).read_text()
    (results / "demo" / "runs").mkdir(parents=True)
    for name, content in (("paper/wiki/runs/a", "{"), ("paper/wiki/runs/b", "[1]"), ("demo/runs/c", "null")):
        (results / f"{name}.json").write_text(content)
    assert write_report(results).read_text() == before
    assert capsys.readouterr().err.count(".json: not a record of a run, left out") == 3


def test_summaries_and_the_spread():
    assert str(Summary.of([76.125])) == "76.12"
    assert str(Summary.of([75.0, 77.0])) == f"76.00 ± {np.sqrt(2):.2f}"
    assert inside(Summary.of([75.0]), 75.0) is None
    assert inside(Summary.of([74.0, 75.0, 76.0]), 77.0) is True
    assert inside(Summary.of([74.0, 75.0, 76.0]), 77.1) is False
    assert inside(Summary.of([74.0, 75.0, 76.0]), 77.1, quoted_sd=0.5) is True


def test_paired_differences():
    assert paired({0: 1.0}, {1: 1.0}) is None
    assert paired({0: 3.0, 1: 5.0}, {0: 1.0, 1: 1.0, 2: 9.0}) == Paired(3.0, 2)
    assert paired({0: 2.0, 1: 3.0, 2: 4.0}, {0: 1.0, 1: 2.0, 2: 3.0}) == Paired(1.0, 3, (1.0, 1.0), 0.0, 1.0)
    assert paired({0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: 1.0, 2: 1.0}).verdict == "equal within 0.1"


@pytest.mark.parametrize(
    ("p", "p_equal", "difference", "verdict"),
    [
        (None, None, 1.0, "too few seeds to say"),
        (0.3, 0.3, 0.1, "no clear difference"),
        (0.3, 0.01, 0.02, "equal within 0.1"),
        (0.01, 0.9, 0.5, "higher"),
        (0.01, 0.9, -0.5, "lower"),
        (0.01, 0.01, -0.05, "lower, by less than 0.1"),
    ],
)
def test_verdicts(p, p_equal, difference, verdict):
    assert Paired(difference, 5, (0.0, 0.0), p, p_equal).verdict == verdict


def test_the_test_of_equality_is_two_t_tests():
    """t of the mean's distance from either bound; the worse one counts."""
    differences = [0.02, -0.03, 0.05, 0.01, -0.02]
    one = paired(dict(enumerate(differences)), dict.fromkeys(range(5), 0.0))
    standard_error = np.std(differences, ddof=1) / 5**0.5
    t = min((one.difference + 0.1) / standard_error, (0.1 - one.difference) / standard_error)
    assert one.p_equal == pytest.approx(stats.t.sf(t, 4))
    half = 2.7764451 * standard_error  # the 97.5 % point of t at 4 degrees, from a table
    assert one.interval == pytest.approx((one.difference - half, one.difference + half))


@pytest.mark.parametrize(
    ("differences", "shown"),
    [
        ([0.5], "+0.50"),
        ([0.5, 0.7], "+0.60 ± 0.14 (2/2)"),
        ([-0.3, 0.1, -0.4], "-0.20 ± 0.26 (2/3)"),
        ([0.0, 0.0, 0.0], "+0.00 ± 0.00 (3/3)"),
        ([0.2, 0.0, -0.1], "+0.03 ± 0.15 (1/3)"),
    ],
)
def test_an_effect_says_how_many_seeds_agree(differences, shown):
    assert show_effect(differences) == shown


@pytest.mark.parametrize("which", ["p", "p_equal"])
def test_holm(which):
    """Worked by hand: 4 x 0.005, 3 x 0.01, then 2 x 0.03, and no p below one before it."""
    ps = {"a": 0.01, "b": 0.04, "c": None, "d": 0.03, "e": 0.005}
    found = corrected({name: Paired(1.0, 5, **{which: p}) for name, p in ps.items()})
    expected = {"a": 0.03, "b": 0.06, "c": None, "d": 0.06, "e": 0.02}
    assert list(found) == list(ps)
    assert {name: (p := getattr(one, which)) and round(p, 10) for name, one in found.items()} == expected
    assert corrected({}) == {}


def test_intervals_and_verdicts_are_right_at_five_seeds():
    """95 % of the intervals hold the true mean; without a difference a verdict is one in 5 % of the draws."""
    rng = np.random.default_rng(0)
    draws = [paired(dict(enumerate(rng.normal(size=5))), dict(enumerate(np.zeros(5)))) for _ in range(300)]
    assert 0.91 < np.mean([one.interval[0] <= 0 <= one.interval[1] for one in draws]) < 0.98
    assert 0.02 < np.mean([one.verdict in ("higher", "lower") for one in draws]) < 0.09
