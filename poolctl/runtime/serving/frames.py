"""The frame by which the log finds what a thread is doing (``last_words.py``).

It is that of ``Service.answer`` or ``Service.converse``, whose variables have all that the log needs. Where these are
compiled they have no frame, so a function around the app has it. Hence this module is never compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from poolctl.compiled import compiled


def framed(serve: Callable[[Any, Any], bool], service: object) -> Callable[[Any, Any], bool]:
    """Return what serves a request as ``serve`` does, with a frame if the service has none."""
    if not compiled():
        return serve

    def answer(request: Any, out: Any, self: object = service) -> bool:
        return serve(request, out)

    return answer


def framed_conversation(converse: Callable[..., None], service: object) -> Callable[..., None]:
    """Return what lets an app own a connection as ``converse`` does, with a frame if the service has none."""
    if not compiled():
        return converse

    def conversing(sock: Any, received: Any, idle: Any, write: Any, peer: Any, self: object = service) -> None:
        converse(sock, received, idle, write, peer)

    return conversing


def frame_codes(*methods: Any) -> set[CodeType]:
    """Return the code of those frames, whose variables include the service as ``self``. ``methods``: of the service."""
    if not compiled():
        return {method.__code__ for method in methods}
    makers = framed.__code__, framed_conversation.__code__
    return {each for maker in makers for each in maker.co_consts if isinstance(each, CodeType)}
