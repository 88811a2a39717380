"""The sentence that a run's page begins with, and its table of evaluations."""

import pytest

from mixcse.train.page import _dev_table, _outcome

EVALUATIONS = [
    {"step": 0, "eval_stsb_spearman": 0.79734, "eval_held_out_loss": 2.5, "eval_alignment": 0.25},
    {"step": 40, "eval_stsb_spearman": 0.84126, "eval_held_out_loss": 1.25},
]
KEPT = "the step that was kept."


@pytest.mark.parametrize(
    ("metric", "evaluations", "kept", "says"),
    [
        (
            *("stsb_spearman", EVALUATIONS, EVALUATIONS[1]),
            f"STS-B dev went from 79.73 before training to 84.13 at step 40, {KEPT}",
        ),
        (
            *("eval_held_out_loss", EVALUATIONS, EVALUATIONS[1]),
            f"Held out loss went from 2.5000 before training to 1.2500 at step 40, {KEPT}",
        ),
        ("stsb_spearman", EVALUATIONS[1:], EVALUATIONS[1], f"STS-B dev is 84.13 at step 40, {KEPT}"),
        ("dev_spearman", EVALUATIONS, EVALUATIONS[1], "The last step was kept."),
        (None, [], {}, "No dev set was scored; the last step was kept."),
    ],
)
def test_what_came_of_it(metric, evaluations, kept, says):
    assert _outcome(metric, evaluations, kept) == says


def test_the_table_of_evaluations():
    assert _dev_table([]) == {}
    assert _dev_table(EVALUATIONS) == {
        "step": ["0", "40"],
        "STS-B dev": ["79.73", "84.13"],
        "alignment": ["0.250", "–"],
        "held out loss": ["2.5000", "1.2500"],
    }
