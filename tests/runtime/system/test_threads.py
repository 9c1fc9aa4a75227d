"""Threads of the system: found by nobody who should not find them, and joined whatever the app raises."""

from __future__ import annotations

import threading
from threading import Event

import pytest

from poolctl.runtime.system import threads


def test_a_watching_thread_is_unknown_to_the_threading_module() -> None:
    """Libraries ask that module whether their process has other threads."""
    running, ends, idents = Event(), Event(), []

    def watches() -> None:
        idents.append(threading.get_ident())
        running.set()
        ends.wait()

    threads.watch(watches, "watcher")
    running.wait()
    assert idents[0] not in {thread.ident for thread in threading.enumerate()}
    ends.set()


@pytest.mark.parametrize("patched", [False, True])
def test_a_thread_starts_and_is_joined(patched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """``patched``: as by gevent, whose replacement would start a greenlet."""
    done = []

    def refuses(*_: object) -> None:
        raise AssertionError("the patched function starts nothing of poolctl's")

    if patched:
        monkeypatch.setattr("_thread.start_new_thread", refuses)
    started = threads.start(lambda: done.append(threading.get_ident()), "one")
    started.join()
    assert done != [threading.get_ident()]
    assert len(done) == 1


def test_a_thread_that_raises_can_be_joined(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("_thread.start_new_thread", None)
    threads.start(lambda: 1 / 0, "breaks").join()
    assert "a thread failed: breaks" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_waiting_goes_on_after_what_a_signal_handler_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Interrupted:
        calls = 0

        def join(self) -> None:
            self.calls += 1
            if self.calls < 3:
                raise KeyboardInterrupt

    interrupted, other = Interrupted(), Interrupted()
    threads.join([interrupted, other])
    assert (interrupted.calls, other.calls) == (3, 3)
    assert caplog.text.count("exception raised while waiting for threads") == 4
