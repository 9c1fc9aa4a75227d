"""The server of docs/redis.md, with the clients that people have."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pages
import pytest
import redis
from harness.machine import PATIENCE, within
from harness.server import Serve, wait_until

HELLO = (
    b"*10\r\n$6\r\nserver\r\n$7\r\npoolctl\r\n$7\r\nversion\r\n$1\r\n7\r\n$5\r\nproto\r\n:2\r\n"
    b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
)
PAGE = pages.ROOT / "docs" / "redis.md"


@pytest.fixture(scope="module")
def port(serve_once: Serve, tmp_path_factory: pytest.TempPathFactory) -> int:
    folder = tmp_path_factory.mktemp("redis")
    pages.write_files(PAGE, folder)
    return serve_once(folder / "redis_like.yaml").port


@pytest.fixture(params=[2, 3])
def redis_client(port: int, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client for each version of the protocol, that finds no keys."""
    with redis.Redis(port=port, socket_timeout=PATIENCE, protocol=request.param) as made:
        made.delete("shop", "none", "visits", "minute", "moment")
        yield made


def test_commands(redis_client: Any) -> None:
    assert redis_client.ping()
    assert redis_client.echo("hello\r\n") == b"hello\r\n"
    assert redis_client.get("shop") is None
    assert redis_client.set("shop", b"\0open\r\n")
    assert redis_client.get("shop") == b"\0open\r\n"
    assert redis_client.set("shop", "shut", nx=True) is None
    assert redis_client.set("shop", "shut", xx=True)
    assert redis_client.set("none", "here", xx=True) is None
    assert redis_client.mget("shop", "none") == [b"shut", None]
    assert redis_client.exists("shop", "shop", "none") == 2
    assert redis_client.delete("shop", "none") == 1
    assert [redis_client.incr("visits") for _ in range(3)] == [1, 2, 3]
    assert redis_client.execute_command("COMMAND") == {}
    assert redis_client.execute_command("hello")


def test_keys_expire(redis_client: Any) -> None:
    redis_client.set("minute", "a", ex=60)
    redis_client.set("moment", "b", px=1)
    wait_until(lambda: redis_client.get("moment") is None, "the end of a moment")
    assert redis_client.get("minute") == b"a"
    redis_client.set("moment", 1, px=200)
    redis_client.incr("moment")  # which keeps the end
    wait_until(lambda: not redis_client.exists("moment"), "the end of the next moment")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("FROB",), "unknown command 'FROB'"),
        (("GET",), "wrong number of arguments for 'get' command"),
        (("SET", "a", "b", "EX"), "not an integer"),
        (("SET", "a", "b", "EX", "0"), "not an integer"),
        (("SET", "a", "b", "NX", "XX"), "syntax error"),
        (("SET", "a", "b", "KEEP"), "syntax error"),
        (("HELLO", "4"), "unsupported protocol version"),
    ],
)
def test_what_is_refused(redis_client: Any, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(redis.ResponseError, match=said):
        redis_client.execute_command(*words)
    redis_client.set("word", "x")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        redis_client.incr("word")
    assert redis_client.ping()


def test_a_pipeline(redis_client: Any) -> None:
    pipe = redis_client.pipeline(transaction=False)
    for number in range(5000):
        pipe.set(f"key{number}", number)
        pipe.get(f"key{number}")
    assert pipe.execute() == [answer for number in range(5000) for answer in (True, b"%d" % number)]


def test_all_threads_share_the_keys(port: int) -> None:
    """With the library's defaults."""

    def count() -> None:
        with redis.Redis(port=port, socket_timeout=PATIENCE) as mine:
            for _ in range(200):
                mine.incr("shared")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(within(30))
    with redis.Redis(port=port, socket_timeout=PATIENCE) as client:
        assert client.get("shared") == b"1600"


@pytest.mark.parametrize("sent", [b"*1\r\n:4\r\n", b"*2000\r\n", b"*1\r\n$9999999\r\n", b"*1\r\n$-1\r\n", b"*x\r\n"])
def test_what_is_no_command(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client, client.makefile("rb") as answers:
        client.sendall(b"PING typed\r\n" + sent)
        assert answers.read().startswith(b"$5\r\ntyped\r\n-ERR Protocol error: expected ")


def test_quit_and_half_a_command(port: int) -> None:
    for sent, answer in [(b"hello 2\r\nQUIT\r\nPING\r\n", HELLO + b"+OK\r\n"), (b"\r\n*2\r\n$3\r\nGET\r\n", b"")]:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client, client.makefile("rb") as answers:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert answers.read() == answer


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
def test_redis_cli_prints_what_is_shown(port: int) -> None:
    (block,) = (block for block in pages.blocks(PAGE) if block.language == "console")
    for shown in block.text.split("$ ")[1:]:
        command, _, answer = shown.partition("\n")
        program, *words = shlex.split(command)
        done = subprocess.run(
            [program, "-p", str(port), *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=within(30),
            env=os.environ | {"FAKETTY": "1"},
        )
        assert done.stdout == answer
