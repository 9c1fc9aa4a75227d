"""The examples of the specification (jsonrpc.org/specification, 7), verbatim, and a few of our own."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from poolctl_jsonrpc import JsonRpc


def subtract(minuend: int, subtrahend: int) -> int:
    return minuend - subtrahend


def fails() -> None:
    raise RuntimeError("no database")


FUNCTIONS = {
    "subtract": subtract,
    "sum": lambda *numbers: sum(numbers),
    "get_data": lambda: ["hello", 5],
    "fails": fails,
    "endless": lambda: float("inf"),
    "update": lambda *numbers: None,
    "notify_hello": lambda number: None,
}
SIGNATURES = {name: inspect.signature(function) for name, function in FUNCTIONS.items()}


def error(code: int, message: str, number: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": number}


def result(value: Any, number: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": number}


INVALID = error(-32600, "Invalid Request")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', result(19, 1)),
        (
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 2, "minuend": 4}, "id": 3}',
            result(2, 3),
        ),
        ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
        ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', error(-32601, "Method not found", "1")),
        ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', error(-32700, "Parse error")),
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', INVALID),
        ('{"jsonrpc": "2.0", "method": "subtract", "params": [1], "id": 4}', error(-32602, "Invalid params", 4)),
        ('{"jsonrpc": "2.0", "method": "fails", "id": 5}', error(-32603, "Internal error", 5)),
        ('[{"jsonrpc": "2.0", "method": "sum"}, {"jsonrpc": "2.0", "method"]', error(-32700, "Parse error")),
        ("[]", INVALID),
        ("[1,2,3]", [INVALID] * 3),
        (
            (
                '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
                '{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
                '{"foo": "boo"}, {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]'
            ),
            [result(7, "1"), INVALID, result(["hello", 5], "9")],
        ),
        ('[{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]', None),
        (json.dumps([{"jsonrpc": "2.0", "method": "sum", "id": 1}] * 101), INVALID),
        ('{"jsonrpc": "2.0", "method": "get_data", "id": true}', INVALID),  # a text, a number or null (4)
        ('{"jsonrpc": "2.0", "method": "get_data", "id": 1e999}', INVALID),
        ('{"jsonrpc": "2.0", "method": "sum", "params": [NaN], "id": 1}', error(-32700, "Parse error")),
        ('{"jsonrpc": "2.0", "method": "endless", "id": 6}', error(-32603, "Internal error", 6)),
        ("[" * 100_000, error(-32700, "Parse error")),
    ],
)
def test_responses(asked: str, answer: Any) -> None:
    assert JsonRpc(functions=("shop:add",)).answer(asked.encode(), FUNCTIONS, SIGNATURES) == answer


def test_duplicate_method_names_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicate method name add"):
        JsonRpc(functions=("shop:add", "bakery:add"))
