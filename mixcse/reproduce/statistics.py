"""Means, spreads and paired differences over seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


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
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    n: int

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.difference:+.2f}{interval}"

    @property
    def verdict(self) -> str:
        """What the t-test allows to say at 5 %."""
        if self.p is None:
            return "too few seeds to say"
        if self.p > 0.05:
            return "no clear difference"
        return "higher" if self.difference > 0 else "lower"


def paired(ours: Mapping[Hashable, float], baseline: Mapping[Hashable, float]) -> Paired | None:
    """The difference `ours - baseline` by seed; None without a common seed."""
    seeds = sorted(ours.keys() & baseline.keys())
    if not seeds:
        return None
    differences = np.array([ours[seed] - baseline[seed] for seed in seeds])
    mean, n = float(differences.mean()), len(seeds)
    if n < 3:
        return Paired(mean, None, None, None, n)
    if np.ptp(differences) == 0:
        return Paired(mean, mean, mean, float(mean == 0), n)
    low, high = stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Paired(mean, float(low), float(high), float(stats.ttest_1samp(differences, 0).pvalue), n)


def inside(ours: Summary, quoted: float, quoted_sd: float | None = None) -> bool | None:
    """Whether a quoted mean lies within two standard deviations of ours (both spreads counted, where known).

    None if ours is one value: it has no spread.
    """
    if ours.sd is None:
        return None
    return bool(abs(ours.mean - quoted) <= 2 * np.hypot(ours.sd, quoted_sd or 0.0))
