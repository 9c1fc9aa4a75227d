"""poolctl run in a separate process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from harness.machine import PATIENCE, within


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "poolctl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=within(30), check=False)


def test_an_invalid_file_exits_with_78_and_the_findings_of_validate(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npol: thread\n")
    ran, validated = typed("run", str(file)), typed("validate", str(file))
    assert (ran.returncode, ran.stdout) == (78, "")
    assert (validated.returncode, validated.stdout) == (1, ran.stderr)
    assert "error[PC203]" in ran.stderr


def test_an_invalid_option_exits_with_78(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\n")
    ran = typed("run", str(file), "--set", "pool.size=0", "--listen", "8000")
    assert ran.returncode == 78
    assert "  --> --set pool.size=0\n" in ran.stderr
    assert "  --> --listen 8000\n" in ran.stderr


def test_a_missing_file_exits_with_78(tmp_path: Path) -> None:
    ran = typed("run", str(tmp_path / "none.yaml"))
    assert (ran.returncode, ran.stdout) == (78, "")
    assert "cannot read" in ran.stderr


def test_help_does_not_import_the_runtime() -> None:
    code = (
        "import sys\nsys.argv = ['poolctl', 'run', '--help']\nfrom poolctl.cli.entry import main\n"
        "try:\n    main()\nfinally:\n"
        "    print([m for m in sys.modules if m.startswith(('poolctl.runtime', 'poolctl.assembly', 'yaml'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=within(30), check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_serves_until_a_signal_stops_it(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npool: {size: 2}\n")
    command = [sys.executable, "-m", "poolctl", "run", str(file), "--listen", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://[0-9.:]+[0-9]", line)))
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                assert answer.status == 200
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=PATIENCE)
        finally:
            server.kill()
    assert server.returncode == 0


def test_an_unknown_log_level_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOLCTL_LOG", "loud")
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\n")
    ran = typed("run", str(file))
    assert (ran.returncode, ran.stdout) == (2, "")
    refusal = 'invalid value for POOLCTL_LOG: unknown log level "loud"; write debug, info, warning or error'
    assert ran.stderr.startswith(f"error: {refusal}\n")
