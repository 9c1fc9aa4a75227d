"""resp: the protocol of Redis (RESP2, redis.io/docs/latest/develop/reference/protocol-spec), and an app that calls a
function for each command.

    app: {use: resp, target: shop.cache:command}        # def command(*words: bytes)
    protocol: {use: resp, limit: 64KiB}

The protocol marks where a command ends, so under half-sync/half-reactive each command of a connection can go to any
worker. The file is long because a plugin is one file: a protocol, and the app that it is for.
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
    Failure,
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
WORDS = 1024 * 1024  # of one command, as in Redis
NONE = -1  # no command has begun
LINE = 64 * 1024  # bytes of a length or of an inline command, as in Redis
REFUSED = {
    400: b"-ERR Protocol error\r\n",
    413: b"-ERR Protocol error: too large\r\n",
    502: b"-ERR the process that had this command has died\r\n",
    503: b"-ERR max number of clients reached\r\n",
    504: b"-ERR this command took too long\r\n",
}
HTTP = (b"post", b"host:")  # words that browsers send and no command begins with; Redis disconnects on them too
Command = list[bytes]


class NotResp(ValueError):
    """The bytes are not a command; the text says why."""


def _line(data: bytes | bytearray, start: int, limit: int) -> tuple[bytes, int] | None:
    most = min(limit, LINE)
    end = data.find(b"\n", start, start + most)
    if end < 0:
        if len(data) - start >= most:
            raise NotResp("a line is too long")
        return None
    return bytes(data[start:end]).removesuffix(b"\r"), end + 1


def _number(text: bytes, most: int) -> int:
    if not text.isdigit() or len(text) > 9 or int(text) > most:
        raise NotResp("a length is invalid or too large")
    return int(text)


class _Parser:
    """Splits the bytes of one connection into commands; shared by both halves.

    Parsing resumes where the last piece ended, so a command in many small pieces costs no more than in one.
    """

    keeps_words: ClassVar[bool] = True  # whether the words of a command are needed

    def __init__(self, limit: int) -> None:
        self.reply = b""
        self.failure: Failure | None = None
        self._limit = limit
        self._held = bytearray()  # from the beginning of a command
        self._at = 0  # how much of it has been parsed
        self._words: Command = []  # parsed so far
        self._count = 0  # words in the whole command
        self._left = NONE  # words still to come

    def receive(self, data: bytes) -> None:
        """Accept bytes from the client, split anywhere."""
        if self.failure:
            return
        self._held += data
        start = 0
        try:
            while self._whole():
                if self._at - start > self._limit:
                    break  # too large, however it was split
                if self._count:  # an empty line is not a command
                    self._take(self._words, bytes(self._held[start : self._at]))
                start, self._words, self._left = self._at, [], NONE
        except NotResp:
            self.failure = Failure.MALFORMED
            start = len(self._held)
        del self._held[:start]
        self._at -= start
        if len(self._held) > self._limit:
            self.failure = Failure.CONTENT_TOO_LARGE
            self._held.clear()

    def _whole(self) -> bool:  # noqa: C901  # a branch for each type of value
        """Continue parsing. Returns whether a command is complete. Raises NotResp."""
        held, limit = self._held, self._limit
        if self._left == NONE:
            line = _line(held, self._at, limit)
            if line is None:
                return False
            text, self._at = line
            if not text.startswith(b"*"):
                self._words = text.split()  # an inline command, as typed by a person
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
                raise NotResp("a bulk string is longer than its length")
            if self.keeps_words:
                self._words.append(bytes(held[begin:end]))
            self._at = end + len(END)
            self._left -= 1
        return True

    def _take(self, words: Command, raw: bytes) -> None:
        raise NotImplementedError  # the two halves differ in what they do with a command

    def ended(self) -> None:
        """The client sends no more; an incomplete command is dropped."""
        self._held.clear()

    @property
    def pending(self) -> bool:
        """Whether part of a command has arrived."""
        return bool(self._held)


class RespConversation(_Parser, Conversation):
    """The worker's half. ``requests`` are commands, as lists of words in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.requests: deque[Command] = deque()

    def _take(self, words: Command, raw: bytes) -> None:
        self.requests.append(words)


class RespFramer(_Parser, Framer):
    """The front's half: complete commands, as received."""

    keeps_words: ClassVar[bool] = False

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._found: deque[bytes] = deque()

    def _take(self, words: Command, raw: bytes) -> None:
        self._found.append(raw)

    @property
    def ready(self) -> bool:
        """Whether a complete command or a failure is left to handle."""
        return bool(self._found or self.failure)

    def take(self) -> bytes | BinaryIO | None:
        """Remove and return the oldest command; None if there is none."""
        return inline_or_file(self._found.popleft()) if self._found else None


@dataclass
class Resp(Protocol):
    """The protocol of Redis, version 2; a request is a command."""

    interface: ClassVar[int] = 1
    name: ClassVar[str] = "resp"
    marks_requests: ClassVar[bool] = True

    limit: Annotated[
        int,
        "bytes",
        Field(ge=64, le=1 << 29, description="limit on the size of a command; a larger one closes the connection"),
    ] = 1 << 20

    def conversation(self, peer: Peer) -> RespConversation:
        """Return the worker's half of a new connection."""
        return RespConversation(self.limit)

    def framer(self) -> RespFramer:
        """Return the front's half of a new connection."""
        return RespFramer(self.limit)

    def refusal(self, status: int) -> bytes:
        """Return the error reply for an HTTP status."""
        return REFUSED.get(status, b"-ERR internal error\r\n")


class Error(Exception):
    """Raised by a function to reply with an error: Error("WRONGTYPE not a list")."""


def encoded(value: Any) -> bytes:
    """Encode a value in RESP2: None, bool, int, str (a simple string), bytes, Error, and lists and mappings of those.

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
    raise TypeError(f"RESP cannot encode a {type(value).__name__}")


@dataclass
class RespApp(App):
    """Calls ``target`` with the words of each command, and replies with what it returns."""

    interface: ClassVar[int] = 1
    protocol: ClassVar[str] = "resp"

    target: Annotated[str, Field(min_length=1, description="package.module:callable, called with words as bytes")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function."""
        self._function = load_callable(self.target)

    def serve(self, request: Command, out: Output) -> bool:
        """Reply to one command. If the function raises, or RESP cannot encode its result, the reply is an error, and
        the log has a traceback. Returns whether the connection stays open."""
        try:
            answer = encoded(self._function(*request))
        except Error as error:
            answer = encoded(error)
        except Exception:
            log.exception("the function raised for the command %s", request[0][:40].decode("latin-1"))
            answer = encoded(Error("ERR internal error"))
        out.send(answer)
        return request[0].upper() != b"QUIT"
