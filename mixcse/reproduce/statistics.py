"""Means, spreads and paired differences over seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

MARGIN = 0.1  # points: two arms that differ by less are called equal
LEVEL = 0.05  # of every test
EXPLAINED = (
    "Differences seed by seed, with a 95 % bootstrap interval of their mean (too narrow when seeds are few) and one by "
    "t; p: of a paired t-test, corrected for the number of lines in the table (Holm), as the intervals are not; p, "
    f"equal: of the test that the difference is within {MARGIN} (TOST); verdicts at 5 %"
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
    """Differences of two arms over the seeds that both have.

    Attributes:
        low, high: 95 % percentile bootstrap interval of the mean, seeds resampled; None below
            three seeds, where it says nothing.  With few seeds it is too narrow.
        p: of a paired t-test, which decides the verdict; None below three seeds.
        p_equal: of two one-sided ones (TOST: Schuirmann 1987), that the difference is `MARGIN` or more.
        by_t: 95 % interval of the mean that goes with the t-test, before p is corrected.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    p_equal: float | None = None
    by_t: tuple[float, float] | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.difference:+.2f}{interval}"

    @property
    def t_interval(self) -> str:
        """As tables have it."""
        return "–" if self.by_t is None else "[{:+.2f}, {:+.2f}]".format(*self.by_t)

    @property
    def verdict(self) -> str:
        """What the tests allow to say."""
        if self.p is None:
            return "too few seeds to say"
        small = self.p_equal is not None and self.p_equal < LEVEL
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
    """The difference `ours - baseline` by seed; None without a common seed."""
    differences = np.array(differences_of(ours, baseline))
    n = len(differences)
    if not n:
        return None
    mean = float(differences.mean())
    if n < 3:
        return Paired(mean, None, None, None, n)
    if np.ptp(differences) == 0:
        return Paired(mean, mean, mean, float(mean == 0), n, float(abs(mean) >= MARGIN), (mean, mean))
    low, high = stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    sides = ((-MARGIN, "greater"), (MARGIN, "less"))
    p_equal = max(stats.ttest_1samp(differences, bound, alternative=side).pvalue for bound, side in sides)
    test = stats.ttest_1samp(differences, 0)
    t_low, t_high = map(float, test.confidence_interval(0.95))
    return Paired(mean, float(low), float(high), float(test.pvalue), n, float(p_equal), (t_low, t_high))


def corrected(comparisons: Mapping[str, Paired]) -> dict[str, Paired]:
    """The same with `p` for so many comparisons at once (Holm 1979), those that have one."""
    by_p = sorted((one.p, name) for name, one in comparisons.items() if one.p is not None)
    adjusted = np.maximum.accumulate([(len(by_p) - rank) * p for rank, (p, _) in enumerate(by_p)] or [0.0])
    found = {name: min(1.0, float(p)) for (_, name), p in zip(by_p, adjusted, strict=False)}
    return {name: replace(one, p=found.get(name)) for name, one in comparisons.items()}


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
