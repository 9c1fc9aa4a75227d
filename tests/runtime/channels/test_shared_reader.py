"""Readers of one inbox that wait with a poller each, in processes of their own."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from harness.machine import PATIENCE
from harness.server import at_rest, wait_until

from poolctl.runtime.channels.inbox import ProcessInbox
from poolctl.runtime.channels.shared_reader import SharedReader
from poolctl.runtime.scoreboard import Scoreboard
from poolctl.runtime.system import forked

TASK = b"task %d, longer than an end"


class Reader:
    """A process that says which messages it took; it waits for ``go`` before it takes the next one."""

    def __init__(self, inbox: ProcessInbox, number: int, *, leaves: bool = False) -> None:
        self.said, theirs = socket.socketpair()
        self.said.settimeout(PATIENCE)
        self.pid = forked.fork()
        if not self.pid:
            try:
                inbox.writer.close()
                self._run(SharedReader(inbox), theirs, leaves=leaves)
            finally:
                os._exit(0)
        theirs.close()
        if not leaves:
            wait_until(lambda: at_rest(self.pid), f"reader {number} to wait")

    @staticmethod
    def _run(reader: SharedReader, theirs: socket.socket, *, leaves: bool) -> None:
        if leaves:
            reader.end()
        while message := reader.take()[0]:
            theirs.sendall(message)
            theirs.recv(1)
        theirs.sendall(b"end")

    def took(self) -> bytes:
        """The next message that it took; it holds it until ``go``."""
        return self.said.recv(100)

    def go(self) -> None:
        self.said.sendall(b"x")
        wait_until(lambda: at_rest(self.pid), "the reader to wait again")

    def close(self) -> None:
        self.said.shutdown(socket.SHUT_RDWR)  # later readers have a copy
        self.said.close()
        os.waitpid(self.pid, 0)


@pytest.fixture
def inbox() -> Iterator[ProcessInbox]:
    board = Scoreboard(1, 4)
    made = ProcessInbox(0, board.inbox(0), [board.worker(index) for index in range(4)])
    yield made
    made.writer.close()
    made.reader.close()


NewReader = Callable[..., Reader]


@pytest.fixture
def new_reader(inbox: ProcessInbox) -> Iterator[NewReader]:
    made: list[Reader] = []

    def reader(*, leaves: bool = False) -> Reader:
        made.append(Reader(inbox, len(made), leaves=leaves))
        return made[-1]

    yield reader
    inbox.writer.close()
    for each in made:
        each.close()


def test_the_first_reader_that_waits_gets_the_task(inbox: ProcessInbox, new_reader: NewReader) -> None:
    first, second, third = new_reader(), new_reader(), new_reader()
    for number in range(5):
        assert inbox.put(TASK % number)
        assert first.took() == TASK % number
        first.go()
    inbox.put(TASK % 5)
    assert first.took() == TASK % 5  # and is busy from now on
    for number in (6, 7):
        inbox.put(TASK % number)
        assert second.took() == TASK % number
        second.go()
    inbox.put(TASK % 8)
    assert second.took() == TASK % 8
    inbox.put(TASK % 9)
    assert third.took() == TASK % 9


def test_no_task_is_lost_while_all_are_busy(inbox: ProcessInbox, new_reader: NewReader) -> None:
    readers = [new_reader(), new_reader()]
    for number in range(6):
        inbox.put(TASK % number)
    took: list[bytes] = []
    while len(took) < 6:
        for said in select.select([each.said for each in readers], [], [], PATIENCE)[0]:
            took.append(said.recv(100))
            said.sendall(b"x")
    assert sorted(took) == [TASK % number for number in range(6)]


def test_all_find_the_end(inbox: ProcessInbox, new_reader: NewReader) -> None:
    readers = [new_reader(), new_reader(), new_reader()]
    inbox.writer.close()
    assert [each.took() for each in readers] == [b"end"] * 3


def test_one_that_leaves_finds_its_end_and_the_others_go_on(inbox: ProcessInbox, new_reader: NewReader) -> None:
    stays = new_reader()
    inbox.put(TASK % 1)
    assert stays.took() == TASK % 1
    inbox.put(TASK % 2)  # nobody has taken it when the other one leaves
    leaves = new_reader(leaves=True)
    assert leaves.took() == b"end"
    stays.go()
    assert stays.took() == TASK % 2


class Interrupted(SharedReader):
    """Its ``end`` is called between waking and taking."""

    def _wait(self) -> bool:
        woken = super()._wait()
        self.end()
        return woken


def test_one_that_leaves_takes_the_task_for_which_it_was_woken(inbox: ProcessInbox) -> None:
    """The kernel has woken no other reader for it."""
    reader = Interrupted(inbox)
    threading.Timer(0.05, inbox.put, [TASK % 1]).start()
    assert [reader.take()[0], reader.take()[0]] == [TASK % 1, b""]


def test_one_that_leaves_does_not_serve_what_others_can(inbox: ProcessInbox) -> None:
    """Or a worker of a busy pool would never leave."""
    reader = SharedReader(inbox)
    inbox.put(TASK % 1)
    reader.end()
    assert reader.take()[0] == b""
