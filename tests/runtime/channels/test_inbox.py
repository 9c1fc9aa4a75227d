"""Inboxes, on real sockets: what goes in comes out, once and in order; full ones say so; both sides are counted."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from select import POLLIN, POLLOUT, poll, select
from typing import Any

import pytest
from harness.machine import PATIENCE

from poolctl.runtime.channels.inbox import (
    AT_ONCE,
    MESSAGE_BYTES,
    Inbox,
    ProcessInbox,
    RingingInbox,
    ThreadInbox,
    ends,
)
from poolctl.runtime.scoreboard import DONE, TAKEN, Scoreboard

Make = Callable[..., Any]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Inbox] = []

    def inbox(kind: type[Inbox], workers: int = 1) -> Inbox:
        board = Scoreboard(1, workers)
        made.append(kind(0, board.inbox(0), [board.worker(index) for index in range(workers)]))
        return made[-1]

    yield inbox
    for each in made:
        if not isinstance(each, ThreadInbox) or isinstance(each, RingingInbox):
            each.writer.close()
            each.reader.close()


def fill(inbox: Inbox, item: bytes = b"x") -> int:
    """Put until it is full; how many tasks it took."""
    for count in range(100_000):
        if not inbox.put(item):
            return count
    raise AssertionError("it is never full")


KINDS = [ProcessInbox, ThreadInbox, RingingInbox]
BOUNDED = [ProcessInbox, RingingInbox]


def taken(inbox: Any) -> Any:
    """The oldest task of an inbox of any kind that has one."""
    if isinstance(inbox, RingingInbox):
        return inbox.take_now()
    return inbox.take()[0] if isinstance(inbox, ProcessInbox) else inbox.take()


@pytest.mark.parametrize("kind", [ThreadInbox, RingingInbox])
def test_a_new_process_finds_nothing_of_what_lay_in_a_dead_ones_memory(make: Make, kind: Any) -> None:
    inbox = make(kind, workers=2)
    pid = os.fork()
    if not pid:
        for _ in range(5):
            inbox.put(b"x")
        os._exit(0)
    os.waitpid(pid, 0)
    inbox.workers[0][TAKEN] = inbox.workers[1][TAKEN] = inbox.workers[1][DONE] = 1
    assert inbox.waiting == 3
    inbox.renew()
    assert inbox.waiting == 0
    if isinstance(inbox, RingingInbox):
        with pytest.raises(BlockingIOError):
            inbox.take_now()
    assert inbox.put(b"new")
    assert inbox.waiting == 1
    assert taken(inbox) == b"new"


# What all have in common


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_come_out_in_the_order_they_were_put(make: Make, kind: type[Inbox]) -> None:
    inbox = make(kind)
    items = [b"task %d" % number for number in range(50)]
    assert all(inbox.put(item) for item in items)
    assert [taken(inbox) for _ in items] == items


@pytest.mark.parametrize("kind", KINDS)
def test_load_and_waiting_are_counted_over_all_workers(make: Make, kind: type[Inbox]) -> None:
    inbox = make(kind, workers=3)
    assert (inbox.capacity, inbox.load, inbox.waiting) == (3, 0, 0)
    for _ in range(5):
        inbox.put(b"x")
    assert (inbox.load, inbox.waiting) == (5, 5)
    inbox.workers[0][TAKEN] = 2
    inbox.workers[2][TAKEN] = 1
    assert (inbox.load, inbox.waiting) == (5, 2)
    inbox.workers[0][DONE] = 2
    assert (inbox.load, inbox.waiting) == (3, 2)


@pytest.mark.parametrize("kind", BOUNDED)
def test_a_full_one_says_so_and_counts_nothing(make: Make, kind: type[Inbox]) -> None:
    inbox = make(kind)
    count = fill(inbox)
    assert count > 0
    assert not inbox.put(b"x")
    assert (inbox.load, inbox.waiting) == (count, count)


@pytest.mark.parametrize("kind", BOUNDED)
def test_there_is_room_again_when_tasks_were_taken(make: Make, kind: type[Inbox]) -> None:
    """And the poller of the front can wait for it."""
    inbox = make(kind)
    count = fill(inbox, b"x" * 4096)
    watch = poll()
    watch.register(inbox.writer, POLLOUT)
    assert watch.poll(0) == []
    for _ in range(count):
        taken(inbox)
    assert watch.poll(5000) == [(inbox.writer.fileno(), POLLOUT)]
    assert fill(inbox, b"x" * 4096) == count


@pytest.mark.parametrize("kind", BOUNDED)
def test_its_reader_says_when_there_is_a_task(make: Make, kind: type[Inbox]) -> None:
    inbox = make(kind)
    watch = poll()
    watch.register(inbox.reader, POLLIN)
    assert watch.poll(0) == []
    inbox.put(b"x")
    assert watch.poll(5000) == [(inbox.reader.fileno(), POLLIN)]
    taken(inbox)
    assert watch.poll(0) == []


# Between processes


def test_who_does_not_want_to_wait_is_told_that_there_is_none(make: Make) -> None:
    inbox = make(ProcessInbox)
    with pytest.raises(BlockingIOError):
        inbox.take(AT_ONCE)
    inbox.put(b"x")
    assert inbox.take(AT_ONCE) == (b"x", [])


def test_the_largest_message_arrives_whole(make: Make) -> None:
    inbox = make(ProcessInbox)
    item = os.urandom(MESSAGE_BYTES)
    assert inbox.put(item)
    assert inbox.take()[0] == item


def test_messages_stay_apart(make: Make) -> None:
    inbox = make(ProcessInbox)
    items = [b"a" * 1000, b"b", b"c" * 60_000]
    for item in items:
        inbox.put(item)
    assert [inbox.take()[0] for _ in items] == items


@pytest.mark.parametrize("count", [1, 2])
def test_descriptors_travel_with_their_task(make: Make, count: int) -> None:
    inbox = make(ProcessInbox)
    pipes = [os.pipe() for _ in range(count)]
    inbox.put(b"none")
    assert inbox.put(b"some", tuple(reader for reader, _ in pipes))
    assert inbox.take() == (b"none", [])
    message, fds = inbox.take()
    assert message == b"some"
    came = fds
    assert len(came) == count
    assert not set(came) & {reader for reader, _ in pipes}
    for fd, (reader, writer) in zip(came, pipes, strict=True):
        os.write(writer, b"%d" % writer)
        assert os.read(fd, 100) == b"%d" % writer
        for each in (fd, reader, writer):
            os.close(each)


def test_the_end_is_an_empty_message_after_what_lies_in_it(make: Make) -> None:
    inbox = make(ProcessInbox)
    inbox.put(b"last")
    inbox.writer.close()
    assert [inbox.take()[0] for _ in range(3)] == [b"last", b"", b""]


def test_an_end_names_its_process_and_others_pass_it(make: Make) -> None:
    inbox = make(ProcessInbox)
    inbox.put(b"a task that is longer than an end")
    assert inbox.end_one(os.getpid() + 1)  # of one that died before it took it
    assert inbox.end_one(os.getpid())
    assert inbox.waiting == inbox.load == 1  # ends are not tasks
    assert not inbox.empty
    _, stale, own = (inbox.take(AT_ONCE)[0] for _ in range(3))
    assert [ends(message) for message in (stale, own, b"")] == [False, True, True]
    assert inbox.empty


def test_a_full_one_takes_no_end_until_there_is_room(make: Make) -> None:
    inbox = make(ProcessInbox)
    fill(inbox, b"x" * 1000)
    assert not inbox.end_one(1)
    while inbox.take(AT_ONCE)[0] and not inbox.end_one(1):
        pass
    assert inbox.end_one(1)


def test_where_nobody_reads_an_end_is_an_error(make: Make) -> None:
    inbox = make(ProcessInbox)
    inbox.reader.close()
    with pytest.raises(BrokenPipeError):
        inbox.end_one(1)


def test_what_is_reclaimed_are_the_tasks_before_and_behind_an_end(make: Make) -> None:
    inbox = make(ProcessInbox)
    inbox.put(b"the first task of two")
    inbox.end_one(1)
    inbox.put(b"the other task of two")
    assert inbox.reclaim() == [(b"the first task of two", []), (b"the other task of two", [])]
    assert inbox.load == 0
    assert inbox.empty


@pytest.mark.parametrize("kind", [ThreadInbox, RingingInbox])
def test_threads_of_one_process_leave_together(make: Make, kind: type[Inbox]) -> None:
    with pytest.raises(TypeError, match="leave together"):
        make(kind).end_one(1)


def test_putting_where_nobody_can_ever_take_is_an_error_and_not_fullness(make: Make) -> None:
    inbox = make(ProcessInbox)
    inbox.reader.close()
    with pytest.raises(BrokenPipeError):
        inbox.put(b"x")
    assert inbox.load == 0


def test_it_is_shared_over_fork_and_outlives_its_reader(make: Make) -> None:
    """One process takes a task and dies; the next finds what it left, and nothing that it took."""
    inbox = make(ProcessInbox)
    for item in (b"1", b"2"):
        inbox.put(item)

    def take_one() -> bytes:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(writer, inbox.take()[0])
                inbox.workers[0][TAKEN] += 1
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as told:
            message = told.read()
        os.waitpid(pid, 0)
        return message

    assert [take_one(), inbox.waiting, take_one(), inbox.waiting] == [b"1", 1, b"2", 0]


# Between threads


def threads(work: Callable[[], None], count: int) -> list[threading.Thread]:
    started = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for each in started:
        each.start()
    return started


def test_any_object_goes_between_threads(make: Make) -> None:
    inbox = make(ThreadInbox)
    item = object()
    assert inbox.put(item)
    assert inbox.take() is item


def wait_and_take(inbox: RingingInbox) -> Any:
    """As a loop does: whoever was woken for nothing waits again."""
    while True:
        select([inbox.reader], [], [])
        try:
            return inbox.take_now()
        except BlockingIOError:
            continue


@pytest.mark.parametrize("kind", [ThreadInbox, RingingInbox])
def test_each_task_meets_one_thread_and_each_thread_the_end(make: Make, kind: type[ThreadInbox]) -> None:
    inbox = make(kind, workers=4)
    done: list[int] = []

    def work() -> None:
        while (item := wait_and_take(inbox) if isinstance(inbox, RingingInbox) else inbox.take()) is not None:
            done.append(item)

    workers = threads(work, 4)
    sent = [number for number in range(200) if inbox.put(number)]
    inbox.end()
    for worker in workers:
        worker.join(PATIENCE)
    assert not any(worker.is_alive() for worker in workers)
    assert sorted(done) == sent
    assert len(sent) > 0


def test_a_bell_that_did_not_ring_has_no_task(make: Make) -> None:
    inbox = make(RingingInbox)
    with pytest.raises(BlockingIOError):
        inbox.take_now()


def test_a_full_bell_keeps_its_task_out(make: Make) -> None:
    """There are as many tasks as the bell rang: none lies there without a ring, and no ring has no task."""
    inbox = make(RingingInbox)
    count = fill(inbox)
    assert [inbox.take_now() for _ in range(count)] == [b"x"] * count
    with pytest.raises(BlockingIOError):
        inbox.take_now()
    assert inbox._items.empty()


def test_the_kernel_gives_a_task_to_one_reader_only(make: Make) -> None:
    inbox = make(ProcessInbox)
    other = socket.socket(fileno=os.dup(inbox.reader.fileno()))
    with other:
        inbox.put(b"x")
        assert other.recv(10, AT_ONCE) == b"x"
        with pytest.raises(BlockingIOError):
            inbox.take(AT_ONCE)
