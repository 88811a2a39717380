"""Means, spreads and paired differences over seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

MARGIN = 0.1  # points: two arms that differ by less are called equal
LEVEL = 0.05  # of every test
EXPLAINED = (
    "Differences seed by seed, with the 95 % t interval of their mean; p: of a paired t-test; p, equal: of the test "
    f"that the difference is within {MARGIN} (TOST); both p are corrected for the number of lines in the table (Holm), "
    "the intervals are not; verdicts at 5 %"
)
EFFECTS_EXPLAINED = "The same differences by task, ± standard deviation over seeds (seeds with the mean's sign / all)"


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (n - 1; None for one value) and number of values."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Of at least one value."""
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), sd, len(values))

    def __format__(self, digits: str) -> str:
        """`format(summary, "4")` has four decimals."""
        return f"{self.mean:.{digits}f}" + ("" if self.sd is None else f" ± {self.sd:.{digits}f}")

    def __str__(self) -> str:
        return format(self, "2")


@dataclass(frozen=True)
class Paired:
    """Differences of two arms over the seeds that both have; intervals and p need three seeds, else they are None.

    Attributes:
        interval: 95 % t interval of the mean, not corrected for the number of comparisons.
        p: of a paired t-test.
        p_equal: of two one-sided t-tests (TOST: Schuirmann 1987) that the difference is `MARGIN` or more.
    """

    difference: float
    n: int
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_equal: float | None = None

    def __str__(self) -> str:
        interval = "" if self.interval is None else " [{:+.2f}, {:+.2f}]".format(*self.interval)
        return f"{self.difference:+.2f}{interval}"

    @property
    def verdict(self) -> str:
        """Return the conclusion that both tests support at `LEVEL`."""
        if self.p is None or self.p_equal is None:
            return "too few seeds to say"
        small = self.p_equal < LEVEL
        if self.p > LEVEL:
            return f"equal within {MARGIN}" if small else "no clear difference"
        return ("higher" if self.difference > 0 else "lower") + f", by less than {MARGIN}" * small


def differences_of(ours: Mapping[Hashable, float], baseline: Mapping[Hashable, float]) -> list[float]:
    """`ours - baseline` for each common seed."""
    return [ours[seed] - baseline[seed] for seed in sorted(ours.keys() & baseline.keys())]


def show_effect(differences: Sequence[float]) -> str:
    """`+0.50 ± 0.10 (4/5)`: mean, standard deviation, how many have the mean's sign; the mean alone of one seed."""
    of = Summary.of(differences)
    same = np.count_nonzero(np.sign(differences) == np.sign(of.mean))
    return f"{of.mean:+.2f}" + ("" if of.sd is None else f" ± {of.sd:.2f} ({same}/{of.n})")


def paired(ours: Mapping[Hashable, float], baseline: Mapping[Hashable, float]) -> Paired | None:
    """Return the difference `ours - baseline` over common seeds; None without a common seed."""
    differences = np.array(differences_of(ours, baseline))
    n = len(differences)
    if not n:
        return None
    mean = float(differences.mean())
    if n < 3:
        return Paired(mean, n)
    if np.ptp(differences) == 0:  # no variance: t is undefined
        return Paired(mean, n, (mean, mean), float(mean == 0), float(abs(mean) >= MARGIN))
    test = stats.ttest_1samp(differences, 0)
    sides = ((-MARGIN, "greater"), (MARGIN, "less"))
    p_equal = max(stats.ttest_1samp(differences, bound, alternative=side).pvalue for bound, side in sides)
    low, high = map(float, test.confidence_interval(0.95))
    return Paired(mean, n, (low, high), float(test.pvalue), float(p_equal))


def corrected(comparisons: Mapping[str, Paired]) -> dict[str, Paired]:
    """Return the comparisons with both p values corrected for their number (Holm 1979)."""
    p = _holm({name: one.p for name, one in comparisons.items()})
    p_equal = _holm({name: one.p_equal for name, one in comparisons.items()})
    return {name: replace(one, p=p.get(name), p_equal=p_equal.get(name)) for name, one in comparisons.items()}


def _holm(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return p values, corrected for how many there are; None is left out."""
    by_p = sorted((p, name) for name, p in values.items() if p is not None)
    adjusted = np.maximum.accumulate([(len(by_p) - rank) * p for rank, (p, _) in enumerate(by_p)] or [0.0])
    return {name: min(1.0, float(p)) for (_, name), p in zip(by_p, adjusted, strict=False)}


def show_p(p: float | None) -> str:
    """As tables have it."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def inside(ours: Summary, quoted: float, quoted_sd: float | None = None) -> bool | None:
    """Whether a quoted mean lies within two standard deviations of ours (both spreads counted, where known).

    None if ours is one value: it has no spread.
    """
    if ours.sd is None:
        return None
    return bool(abs(ours.mean - quoted) <= 2 * np.hypot(ours.sd, quoted_sd or 0.0))
