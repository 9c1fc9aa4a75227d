"""What the two supervisors of an upgrade say to each other, and the state that one passes to the other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from poolctl.errors import PoolctlError
from poolctl.supervision.handover import FAILURE_CHARACTERS, VARIABLE, VERSION, Link, read_state, write_state
from poolctl.supervision.takeover import Takeover, TakeoverStep


@pytest.fixture
def links() -> Iterator[tuple[Link, Link]]:
    one, other = Link.pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("test")
    yield fd
    os.close(fd)


def test_messages_arrive_whole_and_in_order(links: tuple[Link, Link]) -> None:
    one, other = links
    assert other.receive() == []
    assert one.send("first", text="ö" * 1000)
    assert one.send("second")
    assert [(each.kind, each.values) for each in other.receive()] == [("first", {"text": "ö" * 1000}), ("second", {})]
    assert not other.ended
    one.close()
    assert not one.send("third")
    assert other.receive() == []
    assert (other.ended, other.watched) == (True, [])
    assert not other.send("too late")


def test_a_descriptor_travels_beside_its_message(links: tuple[Link, Link]) -> None:
    one, other = links
    reader, writer = os.pipe()
    assert one.send("generation", reader, pid=7)
    os.close(reader)
    (message,) = other.receive()
    assert (message.values, os.get_inheritable(message.fd)) == ({"pid": 7}, False)
    os.write(writer, b"here")
    assert os.read(message.fd, 10) == b"here"
    os.close(message.fd)
    os.close(writer)


def test_events_do_not_wait_for_an_end_that_reads_nothing(links: tuple[Link, Link]) -> None:
    one, other = links
    sent = 0
    while one.send("event", wait=False, event={"text": "x" * 500}):
        sent += 1
    assert len(other.receive()) == sent > 10
    assert one.send("event", wait=False)


def test_a_later_state_replaces_an_earlier_one(memory: int) -> None:
    write_state(memory, {"events": ["x" * 1000]})
    write_state(memory, {"events": []})
    assert read_state(memory) == {"poolctl": VERSION, "events": []}


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"poolctl": 99}', b"\xff"])
def test_a_state_of_another_kind_is_refused(memory: int, data: bytes) -> None:
    os.pwrite(memory, data, 0)
    with pytest.raises(ValueError):  # noqa: PT011  # each has a text of its own
        read_state(memory)
    environment = {VARIABLE: str(memory), "HOME": "/"}
    with pytest.raises(PoolctlError, match=VARIABLE):
        Takeover.from_environment(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("value", ["x", "9999", "-1"])
def test_a_variable_that_names_nothing_is_refused(value: str) -> None:
    with pytest.raises(PoolctlError, match="cannot be used"):
        Takeover.from_environment({VARIABLE: value})


def test_without_the_variable_there_is_no_takeover() -> None:
    assert Takeover.from_environment({"HOME": "/"}) is None


class Taking:
    """A supervisor that takes over."""

    def __init__(self) -> None:
        from poolctl.supervision.events import Ring

        self.ring = Ring()
        self.did: list[object] = []
        self.able = True

    def take_over(self, state: dict[str, object]) -> list[int]:
        if not self.able:
            raise PoolctlError("no room for the PID file")
        self.did.append(("takes over", state["number"]))
        return [3, 4]

    def give_way(self) -> None:
        self.did.append("gives way")

    def serves_alone(self) -> None:
        self.did.append("alone")

    def predecessor_ended(self, total: dict[str, int]) -> None:
        self.did.append(("ended", total))


@pytest.fixture
def taking(memory: int) -> Iterator[tuple[Link, Takeover, Taking]]:
    """The other supervisor's end, a takeover, and its supervisor."""
    ours, theirs = Link.pair()
    link = os.dup(theirs.fileno())
    theirs.close()
    state = {"link": link, "first": -1, "pid": 7, "configuration": {}, "descriptors": [link], "number": 1}
    write_state(memory, state)
    takeover = Takeover(os.dup(memory))
    write_state(memory, {**state, "number": 2})
    yield ours, takeover, Taking()
    ours.close()
    takeover.close_inherited() if takeover.step is not TakeoverStep.DONE else None


def kinds(link: Link) -> list[str]:
    return [each.kind for each in link.receive()]


def test_a_takeover_step_by_step(taking: tuple[Link, Takeover, Taking]) -> None:
    ours, takeover, server = taking
    ours.send("take")  # before it is ready: ignored
    takeover.turn(server)
    takeover.serves()
    takeover.ready()
    takeover.ready()
    assert kinds(ours) == ["serves", "ready"]
    ours.send("take")
    takeover.turn(server)
    assert (server.did, takeover.pending, takeover.alone) == ([("takes over", 2)], False, False)
    (taken,) = ours.receive()
    assert taken.values["listening"] == [3, 4]
    ours.send("alone")
    ours.send("event", event={"kind": "of a later version", "text": "x", "time": 1.0, "where": {}})
    takeover.turn(server)
    assert (server.did[1:], takeover.drains) == (["alone"], True)
    assert [each.kind for each in server.ring.since(0)] == ["of a later version"]
    takeover.fail(1, "not any more")
    assert kinds(ours) == []
    ours.send("ended", total={"requests": 5, "failed": 1})
    takeover.turn(server)
    assert (server.did[2:], takeover.step, takeover.drains) == (
        [("ended", {"requests": 5, "failed": 1})],
        TakeoverStep.DONE,
        False,
    )


def test_one_whose_predecessor_is_killed_serves_when_it_is_ready(taking: tuple[Link, Takeover, Taking]) -> None:
    ours, takeover, server = taking
    ours.close()
    takeover.turn(server)
    assert server.did == []
    takeover.ready()
    takeover.turn(server)
    assert server.did == [("takes over", 2), "alone", ("ended", {})]


def test_one_that_cannot_take_over_says_why(taking: tuple[Link, Takeover, Taking]) -> None:
    ours, takeover, server = taking
    server.able = False
    takeover.ready()
    ours.send("take")
    takeover.turn(server)
    failed = ours.receive()[-1]
    assert (failed.kind, failed.values) == ("failed", {"exit": 1, "text": "no room for the PID file"})
    assert (takeover.pending, server.did) == (True, ["gives way"])


def test_a_long_reason_keeps_its_end(taking: tuple[Link, Takeover, Taking]) -> None:
    ours, takeover, _ = taking
    takeover.fail(1, "\x00" * 100_000 + "the end")
    (failed,) = ours.receive()
    assert failed.values["text"].endswith("the end")
    assert len(failed.values["text"]) == FAILURE_CHARACTERS
    json.dumps(failed.values)


def test_a_second_signal_cuts_off_the_other_supervisor(taking: tuple[Link, Takeover, Taking]) -> None:
    ours, takeover, server = taking
    takeover.ready()
    ours.send("take")
    takeover.turn(server)
    kinds(ours)
    takeover.cut_off()
    assert kinds(ours) == ["kill"]
    assert takeover.until < float("inf")
