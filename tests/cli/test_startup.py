"""How long `poolctl validate` takes beside a program of typer that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "topologies" / "quickstart.yaml").read_text()
NOTHING = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def nothing(file: str) -> None: ...
app()
"""
POOLCTL = "from poolctl.cli.main import main; main()"  # as the installed command has it
ROUNDS = 9
ENOUGH = 3  # times that a busy machine is given the benefit of the doubt


def cost(command: list[str], environment: dict[str, str]) -> float:
    """Processor time of one run, in seconds: what others do meanwhile does not count."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # or it would be taken for one that runs still
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def ratio(ours: list[str], environment: dict[str, str]) -> float:
    """The quickest run of each, one after the other."""
    nothing = [sys.executable, "-c", NOTHING, "file"]
    runs = [(cost(nothing, environment), cost(ours, environment)) for _ in range(ROUNDS)]
    return min(own for _, own in runs) / min(other for other, _ in runs)


def test_validate_takes_little_more_than_nothing(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(tmp_path)}  # compiled, as installed
    file = tmp_path / "quickstart.yaml"
    file.write_text(f"{QUICKSTART}listen: tcp://127.0.0.1:0\n")  # for the port of the file may be taken
    ours = [sys.executable, "-c", POOLCTL, "validate", str(file)]
    cost(ours, environment)
    found = []
    for _ in range(ENOUGH):
        found.append(ratio(ours, environment))
        if found[-1] <= 1.3:
            return
    raise AssertionError(f"{found} times a program that does nothing")
