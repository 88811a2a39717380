"""What is called quietly."""

import os
import signal

import pytest

from mixcse.base.console import quietly


def test_libraries_say_nothing_and_leave_signals_alone(capfd):
    def start(answer):
        os.write(2, b"noise\n")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return answer

    before = signal.getsignal(signal.SIGTERM)
    assert quietly(start, answer=3) == 3
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(ZeroDivisionError):
        quietly(lambda: 1 / 0)
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
