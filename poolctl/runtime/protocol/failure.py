"""What can be wrong with the bytes of a client: why no further request is read from its connection."""

from __future__ import annotations

from enum import IntEnum


class Failure(IntEnum):
    """Why a conversation or framer reads nothing more. Its value is the status that tells the client (RFC 9110, 15).

    A failure says nothing about the app: what an app raises is an ``Outcome``, a request that takes too long is
    ``refused``, and a connection that changes its protocol has a ``successor``.
    """

    MALFORMED = 400  # it is not a request of this protocol
    CONTENT_TOO_LARGE = 413
    TARGET_TOO_LONG = 414
    EXPECTATION_FAILED = 417  # an Expect header other than 100-continue
    UPGRADE_REQUIRED = 426  # a version of WebSocket that is not served
    HEAD_TOO_LARGE = 431  # of its head or trailers: bytes, or number of headers
    NOT_STORED = 500  # the body cannot be stored: a full disk
    NOT_SERVED = 501  # a well-formed method or transfer coding that no app gets
    VERSION_NOT_SERVED = 505
