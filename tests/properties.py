"""How the property tests draw: the same examples in every run, and texts that files can hold."""

import tempfile
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

_HOME = tempfile.TemporaryDirectory()  # of its tables; it goes with the process
set_hypothesis_home_dir(_HOME.name)

# A file or a patch that a test makes is made anew for every example, so one fixture may serve them all.
examples = partial(
    settings,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

WHATEVER = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)  # what is text
ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=12)
ODD = st.sampled_from(['"', '""', ",", "\t", "'", "\\", "\ufeff", "\u2028", "\x85", "\x0c", "\x1c", "NA", "null", " "])
