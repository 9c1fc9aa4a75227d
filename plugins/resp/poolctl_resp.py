"""resp: the protocol of Redis (RESP2, redis.io/docs/latest/develop/reference/protocol-spec), and an app that calls a
function with each command.

    app: {use: resp, target: shop.cache:command}        # def command(*words: bytes)
    protocol: {use: resp, limit: 64KiB}

It marks where a command ends, so half-sync/half-reactive can lend it: each command of a connection goes to any worker.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, ClassVar

from pydantic import Field

from poolctl.plugin import (
    App,
    Conversation,
    Framer,
    Output,
    Peer,
    Protocol,
    Surroundings,
    inline_or_file,
    load_callable,
)

log = logging.getLogger("poolctl.app")
END = b"\r\n"
WORDS = 1024 * 1024  # of one command, as Redis has it
NONE = -1  # no command has begun
LINE = 64 * 1024  # bytes of a length, or of a command that is typed, as Redis has it
REFUSED = {
    400: b"-ERR Protocol error\r\n",
    413: b"-ERR Protocol error: too large\r\n",
    502: b"-ERR the process that had this command has died\r\n",
    503: b"-ERR max number of clients reached\r\n",
    504: b"-ERR this command took too long\r\n",
}
HTTP = (b"post", b"host:")  # words that no command begins with, and that browsers send; Redis hangs up on them as well
Command = list[bytes]


class NotResp(ValueError):
    """Bytes that are no command."""


def _line(data: bytes | bytearray, start: int, limit: int) -> tuple[bytes, int] | None:
    most = min(limit, LINE)
    end = data.find(b"\n", start, start + most)
    if end < 0:
        if len(data) - start >= most:
            raise NotResp("a line without an end")
        return None
    return bytes(data[start:end]).removesuffix(b"\r"), end + 1


def _number(text: bytes, most: int) -> int:
    if not text.isdigit() or len(text) > 9 or int(text) > most:
        raise NotResp("a length that is none, or too large")
    return int(text)


class _Cutter:
    """Cuts the bytes of one connection into commands; common to both halves.

    A command that comes in pieces is read on where the last piece ended, so that many small ones cost no more than one.
    """

    keeps: ClassVar[bool] = True  # are its words wanted?

    def __init__(self, limit: int) -> None:
        self.reply = b""
        self.failure = 0
        self._limit = limit
        self._held = bytearray()  # from the beginning of a command
        self._at = 0  # so much of it is read
        self._words: Command = []  # that were read
        self._count = 0  # words that it has in all
        self._left = NONE  # of them still to come

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
        if self.failure:
            return
        self._held += data
        start = 0
        try:
            while self._whole():
                if self._at - start > self._limit:
                    break  # however it was split
                if self._count:  # an empty line is no command
                    self._take(self._words, bytes(self._held[start : self._at]))
                start, self._words, self._left = self._at, [], NONE
        except NotResp:
            self.failure = 400
            start = len(self._held)
        del self._held[:start]
        self._at -= start
        if len(self._held) > self._limit:
            self.failure = 413
            self._held.clear()

    def _whole(self) -> bool:  # noqa: C901  # a branch for each type of value
        """Read on; whether a command has come to its end. Raises NotResp."""
        held, limit = self._held, self._limit
        if self._left == NONE:
            line = _line(held, self._at, limit)
            if line is None:
                return False
            text, self._at = line
            if not text.startswith(b"*"):
                self._words = text.split()  # an inline command, as people type it
                self._count = len(self._words)
                if self._count and self._words[0].lower() in HTTP:
                    raise NotResp("a browser")
                return True
            self._count = self._left = 0 if text == b"*-1" else _number(text[1:], WORDS)
        while self._left:
            line = _line(held, self._at, limit)
            if line is None:
                return False
            text, begin = line
            if not text.startswith(b"$"):
                raise NotResp("expected a bulk string")
            end = begin + _number(text[1:], limit)
            if len(held) < end + len(END):
                return False
            if held[end : end + len(END)] != END:
                raise NotResp("a bulk string is longer than it says")
            if self.keeps:
                self._words.append(bytes(held[begin:end]))
            self._at = end + len(END)
            self._left -= 1
        return True

    def _take(self, words: Command, raw: bytes) -> None:
        raise NotImplementedError  # the two halves of a connection say what becomes of a command

    def ended(self) -> None:
        """The client sends no more: what has no end is no command."""
        self._held.clear()

    @property
    def pending(self) -> bool:
        """Whether a part of a command has come."""
        return bool(self._held)


class RespConversation(_Cutter, Conversation):
    """``requests`` are commands: their words as bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.requests: deque[Command] = deque()

    def _take(self, words: Command, raw: bytes) -> None:
        self.requests.append(words)


class RespFramer(_Cutter, Framer):
    """Whole commands, as they came."""

    keeps: ClassVar[bool] = False

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._found: deque[bytes] = deque()

    def _take(self, words: Command, raw: bytes) -> None:
        self._found.append(raw)

    @property
    def ready(self) -> bool:
        """Whether a command is left, or a failure."""
        return bool(self._found or self.failure)

    def take(self) -> bytes | BinaryIO | None:
        """The oldest command, and forget it."""
        return inline_or_file(self._found.popleft()) if self._found else None


@dataclass
class Resp(Protocol):
    """The protocol of Redis, version 2: a request is a command."""

    interface: ClassVar[int] = 1
    name: ClassVar[str] = "resp"
    marks_requests: ClassVar[bool] = True

    limit: Annotated[int, "bytes", Field(ge=64, le=1 << 29, description="of a command; more ends it all")] = 1 << 20

    def conversation(self, peer: Peer) -> RespConversation:
        """The worker's half of a new connection."""
        return RespConversation(self.limit)

    def framer(self) -> RespFramer:
        """The front's half of a new connection."""
        return RespFramer(self.limit)

    def refusal(self, status: int) -> bytes:
        """An error reply."""
        return REFUSED.get(status, b"-ERR internal error\r\n")


class Error(Exception):
    """What a function raises to answer with an error: Error("WRONGTYPE not a list")."""


def encoded(value: Any) -> bytes:
    """A value as RESP2 says it: None, bool, int, str (a simple string), bytes, Error, lists and mappings of those.

    Raises TypeError for anything else.
    """
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, str):
        return b"+%b\r\n" % value.replace("\r", " ").replace("\n", " ").encode()
    if isinstance(value, Error):
        return b"-%b\r\n" % str(value).replace("\r", " ").replace("\n", " ").encode()
    if isinstance(value, dict):
        value = [each for pair in value.items() for each in pair]
    if isinstance(value, list | tuple):
        return b"*%d\r\n%b" % (len(value), b"".join(map(encoded, value)))
    raise TypeError(f"a {type(value).__name__} cannot be said in RESP")


@dataclass
class RespApp(App):
    """Calls ``target`` with the words of each command, and sends what it returns."""

    interface: ClassVar[int] = 1
    protocol: ClassVar[str] = "resp"

    target: Annotated[str, Field(min_length=1, description="package.module:callable, called with words as bytes")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function."""
        self._function = load_callable(self.target)

    def serve(self, request: Command, out: Output) -> bool:
        """Answer one command. What the function raises, or RESP cannot say, is an error reply, with a traceback in the
        log."""
        try:
            answer = encoded(self._function(*request))
        except Error as error:
            answer = encoded(error)
        except Exception:
            log.exception("the function raised, for the command %s", request[0][:40].decode("latin-1"))
            answer = encoded(Error("ERR internal error"))
        out.send(answer)
        return request[0].upper() != b"QUIT"
