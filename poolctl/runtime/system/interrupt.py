"""Ending the wait of a thread that sleeps in a system call, without a cost for each call.

The number of the descriptor from which the thread reads gets another meaning, an end of file, and a signal makes the
call return; Python then repeats it with the same number (PEP 475). What the call has already received is not lost: then
it returns that, and the next call finds the end. There is no gap: a call that begins after the change reads the end,
and one that began earlier is in the kernel, where a signal interrupts it.

The signal is SIGURG, which is ignored by default: nobody is harmed if the app has reset its handler, or by one signal
too many. But code in C may give up when a system call of its own is interrupted, so a thread that runs the app's code
should get none.
"""

from __future__ import annotations

from os import dup2
from signal import SIG_DFL, SIG_IGN, SIGURG, pthread_kill
from signal import getsignal as handler_of
from signal import signal as set_handler
from types import FrameType

from poolctl.runtime.system import forked
from poolctl.runtime.system.channel import channel


def interrupted(number: int, frame: FrameType | None) -> None:
    """Handle SIGURG: that it has a handler makes system calls return."""


forked.OWN_SIGNALS.add(interrupted)


def allow_interrupts() -> None:
    """Called in the main thread, before another thread calls `interrupt`. The app's own handler for SIGURG, if it has
    one, stays."""
    if handler_of(SIGURG) in (SIG_DFL, SIG_IGN, None):
        set_handler(SIGURG, interrupted)


def end_reads(fd: int) -> None:
    """Make every read of ``fd`` that begins in this process from now on return an end of file."""
    other, ended = channel()
    other.close()
    dup2(ended.fileno(), fd, inheritable=False)
    ended.close()


def interrupt(thread: int) -> None:
    """Wake another thread from its system call. To be repeated until that has had an effect: the signal may meet the
    thread on its way there."""
    pthread_kill(thread, SIGURG)
