"""jsonrpc: serves functions by JSON-RPC 2.0 (jsonrpc.org/specification) over HTTP POST.

    app: {use: jsonrpc, functions: [shop.rpc:add, shop.rpc:order]}

The method name of a function is the last part of its target. Arguments that do not match its signature are "Invalid
params"; anything that it raises is "Internal error", with a traceback in the log.
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
MESSAGES = {
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
    """Serves functions by JSON-RPC 2.0: single calls, batches and notifications."""

    interface: ClassVar[int] = 1

    functions: Annotated[
        tuple[Target, ...],
        Field(min_length=1, max_length=1000, description="functions to serve, under their own names"),
    ]
    batch: Annotated[
        int, Field(ge=1, le=10_000, description="limit on the calls in a batch; larger batches are refused")
    ] = 100

    def __post_init__(self) -> None:
        duplicates = [name for name, count in Counter(map(_name, self.functions)).items() if count > 1]
        if duplicates:
            raise ValueError(f"duplicate method name {duplicates[0]}; rename one of the functions")

    def find(self) -> Callable[..., Iterable[bytes]]:
        """Import the functions, and return a WSGI application that serves them."""
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
        """Return the response to a request body; None for notifications (specification, 4.1 and 6)."""
        try:
            request = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return _error(PARSE, None)
        if not isinstance(request, list):
            return _call(request, functions, signatures)
        if not request or len(request) > self.batch:
            return _error(REQUEST, None)
        answers = [answer for each in request if (answer := _call(each, functions, signatures)) is not None]
        return answers or None


def _name(target: str) -> str:
    """Return the method name of a function."""
    return target.rpartition(":")[2].rpartition(".")[2]


def _refuse_constant(text: str) -> Any:
    """Raise ValueError for NaN and Infinity, which are not valid JSON (RFC 8259, 6)."""
    raise ValueError(text)


def _call(
    request: Any, functions: dict[str, Callable[..., Any]], signatures: dict[str, inspect.Signature]
) -> Answer | None:
    """Execute one call. Returns its response; None for a notification."""
    if not _is_request(request):
        return _error(REQUEST, None)
    id_, responds = request.get("id"), "id" in request
    function = functions.get(request["method"])
    if function is None:
        return _error(METHOD, id_) if responds else None
    params = request.get("params", [])
    positional, by_name = (params, {}) if isinstance(params, list) else ([], params)
    try:
        signatures[request["method"]].bind(*positional, **by_name)
    except TypeError:
        return _error(PARAMS, id_) if responds else None
    try:
        result = function(*positional, **by_name)
        json.dumps(result, allow_nan=False)
    except Exception:
        log.exception("the function %s raised", request["method"])
        return _error(INTERNAL, id_) if responds else None
    return {"jsonrpc": "2.0", "result": result, "id": id_} if responds else None


def _is_request(value: Any) -> bool:
    """Whether it is a request object (specification, 4)."""
    return (
        isinstance(value, dict)
        and value.get("jsonrpc") == "2.0"
        and isinstance(value.get("method"), str)
        and isinstance(value.get("params", []), list | dict)
        and _is_id(value.get("id"))
    )


def _is_id(value: Any) -> bool:
    """Whether it is a string, a number or null. Python's bool is an int, and 1e999 parses to infinity."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, str | int | type(None)) and not isinstance(value, bool)


def _error(code: int, id_: Any) -> Answer:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": MESSAGES[code]}, "id": id_}
