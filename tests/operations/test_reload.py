"""`poolctl reload` with real servers: what it applies, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from harness.client import Client, get
from harness.commands import poolctl
from harness.ports import quiet_port
from harness.server import Serve, wait_until
from harness.shop import APP, OTHER, Shop

LIFESPAN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


@pytest.fixture
def changing(serve: Serve, tmp_path: Path) -> Shop:
    return Shop(serve, tmp_path)


@pytest.mark.parametrize("preload", [False, True])
def test_new_code_serves_when_the_command_returns(serve: Serve, tmp_path: Path, preload: bool) -> None:
    shop = Shop(serve, tmp_path, preload=preload)
    shop.code(OTHER)
    done = shop.reload()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{shop.name} (pid {shop.server.pid}) reloaded: generation 2 serves (" in done.stdout
    assert shop.body == b"other"
    assert len(shop.server.pids("mold")) == 1
    assert len(shop.server.pids("worker")) == 2


def test_a_dry_run_shows_what_changes_and_changes_nothing(changing: Shop) -> None:
    shop = changing
    shop.write(timeouts={"idle": "7s"})
    before = shop.server.tree()
    done = shop.reload("--dry-run")
    assert done.returncode == 0
    assert f"timeouts.idle: 1m -> 7s\n    default -> {shop.file}:" in done.stdout
    assert "was not changed: this was a dry run" in done.stdout
    wait_until(lambda: shop.server.tree() == before, "the end of the process that read the file")


def test_its_own_pid_file_and_log_are_no_obstacle(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    changed = Shop(
        serve, tmp_path, pid_file=str(tmp_path / "shop.pid"), access_log={"to": str(log), "format": "common"}
    )
    assert changed.reload().returncode == 0
    assert changed.body == b"one"
    assert (tmp_path / "shop.pid").read_text() == f"{changed.server.pid}\n"
    wait_until(lambda: log.read_text().count('"GET ') == 1, "its line, of the new worker")


def test_a_changed_pool_has_its_new_size(changing: Shop) -> None:
    shop = changing
    shop.write(pool={"kind": "process", "size": 3}, ownership="leader/followers")
    assert shop.reload().returncode == 0
    assert len(shop.server.pids("worker")) == 3
    assert not shop.server.pids("front")
    assert shop.body == b"one"


FAILURES = {
    "invalid": ({"poool": 3}, APP, (), 78, 'did you mean "pool"?'),
    "restart": ({"umask": "0027"}, APP, (), 1, "takes a restart (umask: "),
    "syntax": ({}, "x = = 1", (), 1, "SyntaxError: invalid syntax"),
    "raises": ({}, "raise LookupError('no settings')", (), 1, "LookupError: no settings"),
    "exits": ({}, "import os; os._exit(3)", (), 1, "exited with status 3"),
    "hangs": ({}, "import time; time.sleep(600)", ("--wait", "0.3s"), 3, "not ready within 0.3 s"),
    "lifespan": ({"app": {"asgi": "shop:app"}}, LIFESPAN, (), 1, "no database"),
    "address": ({"listen": "tcp://192.0.2.1:80"}, APP, (), 1, "cannot listen on tcp://192.0.2.1:80"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_what_fails_leaves_the_old_workers_serving(changing: Shop, kind: str) -> None:
    shop = changing
    keys, code, options, status, text = FAILURES[kind]
    before, valid = shop.server.tree(), dict(shop.keys)
    with Client(shop.server.port) as kept:
        assert kept.get().body == b"one"
        shop.write(**keys)
        shop.code(code)
        done = shop.reload(*options)
        assert done.returncode == status
        assert text in done.stderr
        assert "was not reloaded; nothing has changed" in done.stderr
        assert kept.get().body == b"one"
    wait_until(lambda: shop.server.tree() == before, "the end of the new processes")
    shop.keys = valid
    shop.write()
    shop.code(OTHER)
    assert shop.reload().returncode == 0
    assert shop.body == b"other"
    assert shop.server.stop() == 0


def test_a_hangup_does_the_same_and_answers_in_the_log(changing: Shop) -> None:
    shop = changing
    shop.code("x = = 1")
    shop.server.signal(signal.SIGHUP)
    shop.server.wait_for_log(r"reload \(SIGHUP\) ended after .* with exit code 1: error\[PC411\]")
    shop.server.wait_for_log("SyntaxError: invalid syntax\n")
    assert shop.body == b"one"
    shop.code(OTHER)
    shop.server.signal(signal.SIGHUP)
    shop.server.wait_for_log(r"reload \(SIGHUP\) ended after .* with exit code 0: generation \d serves")
    assert shop.body == b"other"


def test_an_address_is_replaced_and_the_old_one_refuses(changing: Shop) -> None:
    shop = changing
    old, new = shop.server.port, quiet_port()
    with Client(old) as kept:
        assert kept.get().body == b"one"
        shop.write(listen=f"tcp://127.0.0.1:{new}")
        assert shop.reload().returncode == 0
        assert kept.at_end()  # its address is gone
    assert get(new).body == b"one"
    with pytest.raises(ConnectionRefusedError):
        Client(old)


def test_two_at_once_are_one_and_a_refusal(changing: Shop) -> None:
    shop = changing
    shop.code("import time; time.sleep(1)" + APP)
    first: list[subprocess.CompletedProcess[str]] = []
    thread = threading.Thread(target=lambda: first.append(shop.reload()))
    thread.start()
    shop.server.wait_for_log("generation 2 starts|reload, asked for")
    second = shop.reload()
    thread.join()
    assert first[0].returncode == 0
    assert (second.returncode, "reload has been at work for" in second.stderr) == (1, True)


def test_a_topology_from_standard_input_cannot_be_read_again(tmp_path: Path, serve: Serve) -> None:
    name = f"r{uuid.uuid4().hex[:8]}"
    text = f"name: {name}\napp: demo\nlisten: tcp://127.0.0.1:0\n"
    file = tmp_path / "in.yaml"
    file.write_text(text)
    process = subprocess.Popen(
        ["sh", "-c", f"exec {sys.executable} -m poolctl run - < {file}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while "serves on" not in process.stderr.readline():
            pass
        done = poolctl("reload", name, cwd=tmp_path)
        assert done.returncode == 1
        assert "was read from standard input" in done.stderr
    finally:
        process.terminate()
        process.communicate()


def test_a_renewed_certificate_is_read(serve: Serve, tmp_path: Path) -> None:
    authority, trusted = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusted)

    def renew() -> int:
        """Write a new certificate; its serial number."""
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        return int(x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number)

    def served() -> int:
        address = ("127.0.0.1", shop.server.port)
        with socket.create_connection(address) as sock, trusted.wrap_socket(sock, server_hostname="localhost") as tls:
            return int(x509.load_der_x509_certificate(tls.getpeercert(True) or b"").serial_number)

    first = renew()
    files = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    shop = Shop(serve, tmp_path, listen={"at": f"tcp://127.0.0.1:{quiet_port()}", "tls": files})
    assert served() == first
    second = renew()
    assert served() == first
    assert shop.reload().returncode == 0
    assert served() == second
