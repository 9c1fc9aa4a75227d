"""Serving a connection with several requests in flight, each in a stream of its own (HTTP/2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import TURN_BYTES
from poolctl.runtime.loop.source import Handler, Registry
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.serving.phases import ANSWERING, IDLE, NEW, READING, SENDING, Phase
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http2.conversation import Http2Conversation
    from poolctl.runtime.protocol.http2.stream import Http2Stream


class Carrier(Handler[Service], Output, Protocol):
    """The connection that carries the streams."""

    conversation: Conversation
    mask: int
    phase: Phase
    since: float  # when the current wait began, on the monotonic clock
    leaving: int  # the connection ends after the requests received so far

    @property
    def loop(self) -> Registry:
        """The loop that serves it."""

    @property
    def outbound(self) -> object:
        """Not None while the client has to take bytes first."""

    def close(self, service: Service) -> None:
        """Close the connection."""

    def turn_away(self, status: int, service: Service) -> None:
        """End the connection with the protocol's message for this status."""


def multiplex(connection: Carrier, service: Service) -> None:  # noqa: C901, PLR0915  # what is next, in order
    """Answer the complete streams until the client falls behind; end the connection when it is time."""
    conversation = cast("Http2Conversation", connection.conversation)
    turn = TURN_BYTES
    try:
        flush(connection, conversation)
        while connection.outbound is None and turn > 0:
            if conversation.complete:
                connection.phase = ANSWERING
                _answer(conversation.complete.popleft(), connection, service)
                if conversation.lost:
                    connection.close(service)
                    return
            elif count := conversation.push():
                turn -= count
            else:
                break
            flush(connection, conversation)
        if connection.leaving and connection.outbound is None:
            conversation.leave(connection.loop.now)
            flush(connection, conversation)
    except ClientGone:
        connection.close(service)
        return
    if conversation.failure:
        connection.turn_away(conversation.failure, service)
        return
    if turn > 0 and connection.outbound is None:
        conversation.give_up()
    if connection.outbound is not None:
        connection.phase = SENDING
    elif conversation.pending:
        connection.phase = READING
    elif connection.phase is not NEW:
        connection.phase = IDLE
    if not conversation.stands_still():
        connection.since = connection.loop.now
    if connection.outbound is not None:
        connection.loop.modify(connection, OUT)
    elif turn <= 0:
        connection.loop.modify(connection, IN | OUT)  # more can be sent, after other connections had their turn
    elif conversation.over or (connection.leaving and conversation.told and not conversation.pending):
        connection.turn_away(503, service)
    elif connection.leaving or connection.mask != IN:
        connection.loop.modify(connection, IN)


def begun_streams(conversation: Conversation) -> list[Http2Stream]:
    """Return the streams whose response has begun and is not complete."""
    return [stream for stream in cast("Http2Conversation", conversation).open_streams if stream.began]


def cut_begun(stream: Http2Stream, service: Service, timeouts: Timeouts) -> None:
    """Reset a stream because a drain has waited for it for timeouts.stream; log and count it."""
    service.cut(stream.line.decode("latin-1"), timeouts.stream or 0.0)
    stream.cut()


def flush(connection: Carrier, conversation: Http2Conversation) -> None:
    """Send the waiting frames. Raises ClientGone."""
    frames = conversation.frames()
    if frames:
        connection.send(frames)


def _answer(stream: Http2Stream, connection: Carrier, service: Service) -> None:
    if stream.refused:
        stream.send(service.protocol.farewell(stream.refused, stream.conversation.peer, stream.line))
        stream.end(whole=True)
        return
    stream.out = connection
    stream.end(whole=service.answer(stream.request, stream) is not None)
