"""Builds the site of one generation: sizes, scoreboard, inboxes, listeners with their doors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.assembly.environment.limits import affordable, pairs
from poolctl.assembly.fitting.seats import seats
from poolctl.assembly.resolve import MadeParts
from poolctl.assembly.status import Board
from poolctl.config.model import Topology
from poolctl.runtime.app import Surroundings, slots_of
from poolctl.runtime.app.loader import Loader
from poolctl.runtime.channels.notices import Notices
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.leader import Leader
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.moves import Moves
from poolctl.runtime.queue_view import NO_LIMIT, ClassLimits
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.scoreboard import Scoreboard
from poolctl.runtime.serving.health import HealthCheck
from poolctl.runtime.serving.stream_limit import StreamLimit
from poolctl.runtime.site.settings import Settings
from poolctl.runtime.site.workshop import Workshop
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.access_log.log import AccessLog
    from poolctl.runtime.routing.classes import ClassTable


def build_site(  # all fields of the workshop
    parts: MadeParts,
    listeners: list[list[socket.socket]],
    doors: list[Door],
    access: AccessLog | None = None,
    board: Board | None = None,
    moves: Moves | None = None,
) -> Workshop:
    """The workshop of one generation. ``moves``: None outside of a server, where nothing moves."""
    topology, ownership, dispatch = parts.topology, parts.ownership, parts.dispatch or Leader()
    workers, threads = _shape(parts)
    medium = parts.pool.medium()
    awaited = ownership is not None and ownership.lends and parts.app.asynchronous
    slots = slots_of(parts.app.concurrency) if awaited else threads
    adapts = awaited and parts.app.concurrency == "auto"
    queues = _queues(parts, workers, slots)
    scoreboard = _scoreboard(board, queues, workers * slots, slots)
    rows = [scoreboard.worker(row) for row in range(workers * slots)]
    rings = ownership is not None and (ownership.rings or awaited)
    several = threads > 1 and ownership is not None and ownership.lends and not awaited
    beats = parts.app.asynchronous
    inboxes = [
        medium.inbox(index, scoreboard.inbox(index), counted, slots=held, rings=rings, threads=several, beats=beats)
        for index, (counted, held) in enumerate(_rows_of(queues, rows, slots, threads))
    ]
    return Workshop(
        name=topology.name,
        loader=Loader(parts.app, _surroundings(parts)),
        protocol=parts.protocol,
        dispatch=dispatch,
        affinity=parts.affinity,
        returns=Returns(learns=parts.affinity.learns),
        settings=_settings(parts, dispatch),
        listeners=_listeners(topology, listeners, doors),
        workers=workers,
        size=min(workers, parts.workers),
        threads=threads,
        slots=slots,
        adapts=adapts,
        multiprocess=parts.pool.multiprocess,
        scoreboard=scoreboard,
        medium=medium,
        inboxes=inboxes,
        vacant=set(range(parts.workers, queues)) if queues > 1 else set(),
        notices=Notices(),
        moves=Moves() if moves is None else moves,
        access=access,
        health=HealthCheck(topology.health) if topology.health else None,
        streams=_streams(parts),
    )


def _settings(parts: MadeParts, dispatch: Dispatch) -> Settings:
    """The values that a reload can change, as they are at the start."""
    limits = parts.topology.limits
    return Settings(
        timeouts=timeouts(parts.topology),
        connections=limits.connections,
        most=affordable(descriptors_per_connection(parts)),
        waiting=limits.waiting,
        overload=overload_limits(parts.topology),
        classes=class_table(parts.topology),
        dispatch=lambda: dispatch,
    )


def _scoreboard(board: Board | None, inboxes: int, rows: int, slots: int) -> Scoreboard:
    """The scoreboard of a generation, in the memory of the server's if it has one with enough room."""
    memory = board.memory if board is not None and board.fits(inboxes, rows) else None
    return Scoreboard(inboxes, rows, memory, slots)


def _rows_of(
    queues: int, rows: list[memoryview], slots: int, threads: int
) -> Iterator[tuple[list[memoryview], list[memoryview]]]:
    """Yield for each inbox the rows in which its workers count, and those of all tasks that they may have at once. The
    first row of a worker that serves many tasks at once counts them all."""
    for index in range(queues):
        held = rows if queues == 1 else rows[index * slots : (index + 1) * slots]
        yield held[:: slots // threads], held


def _surroundings(parts: MadeParts) -> Surroundings:
    pool = parts.pool
    warm = parts.topology.reload.warm
    return Surroundings(pool.multithread, pool.multiprocess, parts.private, parts.is_topology, parts.page, warm)


def timeouts(topology: Topology) -> Timeouts:
    """The limits on what clients and requests may take, of two keys of the file."""
    keys = topology.timeouts
    return Timeouts(
        head=keys.head,
        idle=keys.idle,
        write=keys.write,
        body=keys.body,
        body_rate=topology.limits.body_rate,
        request=keys.request,
        drain=keys.drain,
        stream=keys.shorter_stream,
    )


def overload_limits(topology: Topology) -> OverloadLimits | None:
    """The bound of a front's queue by time; None: there is none."""
    keys = topology.overload
    return None if keys.target is None else OverloadLimits(target=keys.target, newest=keys.order == "newest")


def class_table(topology: Topology) -> ClassTable | None:
    """The classes of the file; None if there are none."""
    if not topology.classes:
        return None
    from poolctl.runtime.routing.classes import ClassRule, ClassTable

    rules = []
    for each in topology.classes:
        name, colon, value = each.header.partition(":")
        limits = ClassLimits(
            each.reserve, NO_LIMIT if each.most is None else each.most, each.priority, each.fair == "client"
        )
        rules.append(
            ClassRule(
                kind=each.kind,
                limits=limits,
                path=each.path,
                methods=each.method,
                header=name.lower(),
                value=value.strip() if colon else None,
                clients=each.client or (),
            )
        )
    return ClassTable(rules)


def _streams(parts: MadeParts) -> StreamLimit | None:
    """The limit of streams in a drain, for sync apps; tasks are cancelled instead."""
    limit = parts.topology.timeouts.shorter_stream
    return None if limit is None or parts.app.asynchronous else StreamLimit(limit)


def _listeners(topology: Topology, sockets: list[list[socket.socket]], doors: list[Door]) -> list[list[Listener]]:
    """The sockets of each address, as sources of loops."""
    return [
        [Listener(sock, door, kept_outside=address.passed) for sock in group]
        for group, door, address in zip(sockets, doors, topology.listen, strict=True)
    ]


def _shape(parts: MadeParts) -> tuple[int, int]:
    ownership = parts.ownership
    shares_one_event_set = ownership is not None and ownership.shares_one_event_set(parts.affinity)
    numbers = seats(parts.combination, parts.workers, parts.most)
    return parts.pool.shape(numbers, shares_one_event_set=shares_one_event_set)


def _queues(parts: MadeParts, workers: int, slots: int) -> int:
    """The number of inboxes. Workers that pull share one, unless each serves several requests at once: the kernel would
    wake the threads of one process first."""
    ownership = parts.ownership
    if ownership is None or not ownership.has_front:
        return 0
    assert parts.dispatch is not None  # only a pool without workers has none
    return 1 if parts.dispatch.pull and not (ownership.lends and slots > 1) else workers


def descriptors_per_connection(parts: MadeParts) -> int:
    """The descriptors that a connection takes in its process: also a pair of sockets where TLS is spoken for others,
    and with a thread of its own also the pipe that signals its end."""
    alone = parts.app.owns_connection or parts.combination.pool in ("thread-per-connection", "process-per-connection")
    return 1 + 2 * pairs(parts.topology, parts.combination) + 2 * alone
