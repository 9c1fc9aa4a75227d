"""jsonrpc: functions that are called by JSON-RPC 2.0 (jsonrpc.org/specification) over HTTP POST.

    app: {use: jsonrpc, functions: [shop.rpc:add, shop.rpc:order]}

A function is called by the last part of its target. What it raises becomes an error of its kind: TypeError for
arguments that do not fit is "Invalid params", everything else "Internal error", with a traceback in the log.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.plugin import WsgiApp, load_callable

log = logging.getLogger("poolctl.app")
PARSE, REQUEST, METHOD, PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
SAID = {
    PARSE: "Parse error",
    REQUEST: "Invalid Request",
    METHOD: "Method not found",
    PARAMS: "Invalid params",
    INTERNAL: "Internal error",
}
Target = Annotated[str, Field(min_length=1, description="package.module:function")]
Answer = dict[str, Any]


@dataclass
class JsonRpc(WsgiApp):
    """Calls functions by JSON-RPC 2.0: single calls, batches and notifications."""

    interface: ClassVar[int] = 1

    functions: Annotated[
        tuple[Target, ...], Field(min_length=1, max_length=1000, description="that may be called, by their own names")
    ]
    batch: Annotated[int, Field(ge=1, le=10_000, description="calls of one batch; more are refused")] = 100

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(map(_name, self.functions)).items() if count > 1]
        if twice:
            raise ValueError(f"two functions have the name {twice[0]}, by which clients call them")

    def find(self) -> Callable[..., Iterable[bytes]]:
        """The functions, imported, behind a WSGI application."""
        functions = {_name(target): load_callable(target) for target in self.functions}
        signatures = {name: inspect.signature(function) for name, function in functions.items()}

        def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] != "POST":
                start_response("405 Method Not Allowed", [("Allow", "POST"), ("Content-Length", "0")])
                return []
            answer = self.answer(environ["wsgi.input"].read(), functions, signatures)
            if answer is None:
                start_response("204 No Content", [])
                return []
            body = json.dumps(answer).encode()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]

        return application

    def answer(
        self, body: bytes, functions: dict[str, Callable[..., Any]], signatures: dict[str, inspect.Signature]
    ) -> Answer | list[Answer] | None:
        """What the client is told; None where it asked for nothing (specification, 4.1 and 6)."""
        try:
            asked = json.loads(body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return _error(PARSE, None)
        if not isinstance(asked, list):
            return _call(asked, functions, signatures)
        if not asked or len(asked) > self.batch:
            return _error(REQUEST, None)
        answers = [answer for each in asked if (answer := _call(each, functions, signatures)) is not None]
        return answers or None


def _name(target: str) -> str:
    """By which clients call it."""
    return target.rpartition(":")[2].rpartition(".")[2]


def _no_number(text: str) -> Any:
    """NaN and Infinity are JavaScript and no JSON (RFC 8259, 6)."""
    raise ValueError(text)


def _call(
    asked: Any, functions: dict[str, Callable[..., Any]], signatures: dict[str, inspect.Signature]
) -> Answer | None:
    """One call; None for a notification."""
    if not _well_formed(asked):
        return _error(REQUEST, None)
    number, wants = asked.get("id"), "id" in asked
    function = functions.get(asked["method"])
    if function is None:
        return _error(METHOD, number) if wants else None
    params = asked.get("params", [])
    by_place, by_name = (params, {}) if isinstance(params, list) else ([], params)
    try:
        signatures[asked["method"]].bind(*by_place, **by_name)
    except TypeError:
        return _error(PARAMS, number) if wants else None
    try:
        result = function(*by_place, **by_name)
        json.dumps(result, allow_nan=False)
    except Exception:
        log.exception("the function %s raised", asked["method"])
        return _error(INTERNAL, number) if wants else None
    return {"jsonrpc": "2.0", "result": result, "id": number} if wants else None


def _well_formed(asked: Any) -> bool:
    """Whether it is a request object (specification, 4)."""
    return (
        isinstance(asked, dict)
        and asked.get("jsonrpc") == "2.0"
        and isinstance(asked.get("method"), str)
        and isinstance(asked.get("params", []), list | dict)
        and _identifies(asked.get("id"))
    )


def _identifies(number: Any) -> bool:
    """A text, a number or null. In Python true is a number, and 1e999 is one that JSON cannot say."""
    if isinstance(number, float):
        return isfinite(number)
    return isinstance(number, str | int | type(None)) and not isinstance(number, bool)


def _error(code: int, number: Any) -> Answer:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": SAID[code]}, "id": number}
