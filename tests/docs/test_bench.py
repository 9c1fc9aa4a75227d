"""The benchmarks parse reports, name missing programs, and leave no process behind."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from harness.machine import within
from harness.server import wait_until

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import cost, instructions, pair, servers, tail, threads, wrk  # the benchmarks are no part of the package
from bench.process import NotServing, answers, cpu_seconds, free_port, memory_mib, running, tree

REPORT = """Running 3s test @ http://127.0.0.1:9100/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   380.21us  120.11us   5.02ms   92.10%
  Latency Distribution
     50%  361.00us
     99%  744.00us
  250012 requests in 3.00s, 33.61MB read
Requests/sec:  83311.20
Transfer/sec:     11.20MB
"""
FAULTS = "  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\n"


class TestWrk:
    def test_a_report(self) -> None:
        assert wrk.parse(REPORT) == wrk.Load(250012, 83311.20, 0.744, "")

    @pytest.mark.parametrize(("p99", "milliseconds"), [("744.00us", 0.744), ("12.50ms", 12.5), ("1.20s", 1200)])
    def test_units(self, p99: str, milliseconds: float) -> None:
        assert wrk.parse(REPORT.replace("744.00us", p99)).p99 == pytest.approx(milliseconds)

    def test_faults_are_kept(self) -> None:
        found = wrk.parse(REPORT.replace("Requests/sec", f"{FAULTS}Requests/sec"))
        assert found.faults == ("Socket errors: connect 0, read 3, write 0, timeout 1; Non-2xx or 3xx responses: 7")

    def test_what_is_no_report(self) -> None:
        with pytest.raises(ValueError, match="not a report"):
            wrk.parse("unable to connect to 127.0.0.1:9100 Connection refused\n")

    def test_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        for program in (cost, threads):
            assert program.main([]) == 2
            assert capsys.readouterr().err == (
                "error: wrk and taskset not found; on Debian: apt-get install wrk util-linux\n"
            )


def heads(kind: str, *, close: bool) -> list[bytes]:
    """The first requests that wrk sends; the others are not answered."""
    found: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            client.close()  # wrk looks whether the server is there
            client, _ = listener.accept()
            with client:
                while data := client.recv(65536):
                    found.append(data)
                    if len(found) < 20:
                        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        wrk.run(listener.getsockname()[1], 1, connections=1, close=close, heads=kind)
        thread.join(within(10))
    return found


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
class TestHeads:
    @pytest.mark.parametrize(("kind", "count", "size"), [("varying", 6, 220), ("browser", 12, 800)])
    def test_each_request_is_new(self, kind: str, count: int, size: int) -> None:
        found = heads(kind, close=False)
        assert len(set(found)) == len(found) > 10
        for head in found:
            assert head.endswith(b"\r\n\r\n")
            assert head.count(b"\r\n") == count + 2
            assert abs(len(head) - size) < 30
            assert b"connection: keep-alive" in head.lower()
        assert (len({head.partition(b"\r\n")[2] for head in found}) == 1) == (kind == "browser")

    @pytest.mark.parametrize("kind", ["identical", "browser"])
    def test_it_asks_for_a_new_connection_each_time(self, kind: str) -> None:
        assert b"connection: close" in heads(kind, close=True)[0].lower()


class TestPairs:
    def test_the_ratio_of_neighbors(self) -> None:
        found = pair.ratio([(10.0 * speed, 8.0 * speed) for speed in (1, 3, 2, 4)])
        assert (found.low, found.middle, found.high) == (1.25, 1.25, 1.25)
        assert (found.first, found.second) == (25, 20)

    def test_every_bar_is_one_of_two_known_servers(self) -> None:
        assert {bar.peer for bar in pair.BARS} <= {server.name for server in cost.PEERS}
        assert {f"poolctl {bar.name}" for bar in pair.BARS} <= {server.name for server in cost.OWN}

    @pytest.mark.parametrize(
        ("second", "fix"),
        [
            ("granite", "a folder; or a command with PORT"),
            ("granian-wsgi", "add --peers .venv-bench"),
            ("/", "run `make .venv/installed` in /"),
        ],
    )
    def test_what_cannot_be_measured(self, capsys: pytest.CaptureFixture[str], second: str, fix: str) -> None:
        assert pair.main(["reuse-port", second]) == 2
        assert fix in capsys.readouterr().err

    def test_two_servers_or_the_bars(self, capsys: pytest.CaptureFixture[str]) -> None:
        for words in ([], ["reuse-port"], ["reuse-port", "uvicorn", "--pairs", "1"]):
            with pytest.raises(SystemExit):
                pair.main(words)
            assert "two servers are needed" in (text := capsys.readouterr().err) or "at least 2" in text

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
    def test_a_server_costs_as_much_as_itself(self, capsys: pytest.CaptureFixture[str]) -> None:
        own = f"{sys.executable} -m poolctl run hello.yaml --listen tcp://127.0.0.1:PORT"
        assert pair.main(["half-reactive, 4 processes", own, "--pairs", "2", "--heads", "browser"]) == 0
        assert re.search(
            r"^poolctl half-sync/half-reactive, 4 processes, browser, kept: [\d.]+ ", capsys.readouterr().out
        )

    def test_a_server_without_options_for_tls(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert pair.main(["reuse-port", "shop --port PORT", "--tls"]) == 2
        assert "shop cannot be measured over TLS" in capsys.readouterr().err


class TestTables:
    def test_the_ratios(self) -> None:
        rows = {name: cost.Cost(cpu, 1000, 0.5, "") for name, cpu in (("poolctl a", 12.0), ("granian-wsgi", 16.0))}
        assert cost.table(rows, dict.fromkeys(rows, 30.0)) == (
            "| server | CPU us/request | requests/s | p99 ms | MiB | x granian-wsgi |\n"
            "| --- | --: | --: | --: | --: | --: |\n"
            "| poolctl a | 12.0 | 1000 | 0.50 | 30 | 0.75 |\n"
            "| granian-wsgi | 16.0 | 1000 | 0.50 | 30 | 1.00 |"
        )

    def test_the_ratio_of_neighbours(self) -> None:
        pairs = [[(10.0 * speed, 2.0), (8.0 * speed, 4.0)] for speed in (1, 2, 3, 4)]
        assert threads.ratio(pairs, 0) == "1.250 (1.250 to 1.250)"
        assert threads.ratio(pairs, 1) == "0.500 (0.500 to 0.500)"

    def test_the_middle_of_the_rounds(self) -> None:
        rounds = [cost.Cost(cpu, cpu * 10, cpu / 10, fault) for cpu, fault in ((9, ""), (50, "one 503"), (11, ""))]
        assert cost.middle(rounds) == cost.Cost(11, 110, 1.1, "one 503")

    def test_percentiles(self) -> None:
        assert [tail.percentile([number / 1000 for number in range(100)], each) for each in (0.5, 0.99)] == [50, 99]


class TestServers:
    def test_a_peer_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(servers.Missing, match=r"bin/granian does not exist; `make bench`"):
            servers.installed(tmp_path, tail.PEERS[2:3])

    def test_without_an_environment_there_are_no_peers(self) -> None:
        assert servers.installed(None, tail.PEERS) == []

    def test_its_whole_tree_is_measured_and_ended(self) -> None:
        port = free_port()
        with running(servers.own("two", "hello.yaml", "pool.size=2").command(port), port) as process:
            # supervisor, mold, front, two workers, of which the first may answer before the second is forked
            members = wait_until(lambda: len(found := tree(process.pid)) == 5 and found, "all five")
            assert cpu_seconds(members) > 0
            assert memory_mib(members) > 1
        assert process.returncode == 0
        assert [pid for pid in members if Path(f"/proc/{pid}").exists()] == []
        assert not answers(port)

    def test_over_tls(self) -> None:
        port = free_port()
        server = servers.own("one", "hello.yaml", "ownership=reuse-port", "pool.size=1").over_tls()
        with running(server.command(port), port, tls=server.tls):
            assert answers(port, tls=True)
            assert not answers(port)  # but a 400
        command = servers.begun(cost.PEERS[0], lambda command: ["bin", *command]).over_tls().command(port)
        assert command[:3] == ["bin", "granian", "--ssl-certificate"]
        assert str(port) in command

    def test_a_server_that_ends_is_told_with_its_words(self) -> None:
        with pytest.raises(NotServing, match="out of order"):
            enter([sys.executable, "-c", "raise SystemExit('out of order')"])

    def test_a_stubborn_server_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bench.process.STOP_TIMEOUT", 0.2)
        code = (
            "import http.server as h, signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "h.SimpleHTTPRequestHandler.protocol_version = 'HTTP/1.1'; "
            "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
        )
        port = free_port()
        begun = time.monotonic()
        with running([sys.executable, "-c", code, str(port)], port) as process:
            pass
        assert process.returncode == -9
        assert time.monotonic() - begun < within(20)
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def enter(command: list[str]) -> None:
    with running(command, free_port()):
        pass


def test_a_short_run_of_the_tail(capsys: pytest.CaptureFixture[str]) -> None:
    assert tail.main(["--seconds", "0.3", "--only", "leader/followers"]) == 0
    head, rule, row, *_ = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    answered, failed = map(int, re.findall(r"\| (\d+) \| (\d+) \|$", row)[0])
    assert answered > 100
    assert failed == 0


@pytest.mark.parametrize("case", instructions.CASES)
def test_each_kind_of_request_can_be_counted(case: str) -> None:
    instructions.CASES[case](3)


def test_counting_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert instructions.main([]) == 2
    assert capsys.readouterr().err == "error: valgrind not found; on Debian: apt-get install valgrind\n"
