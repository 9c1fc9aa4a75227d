"""The CPU time of `poolctl validate`: for large files, for every broken file of the tests, and for its start.

    python -m bench.validate

Prints the slowest files and the ratio to a typer program that does nothing. Exits with 1 if one exceeds its limit,
which applies to a quiet machine. All figures are CPU time, the least of a few runs.
"""

# ruff: noqa: T201  # this program prints figures on stdout

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer

from bench.large import large
from bench.process import ROOT
from poolctl.cli.validate import validate

FILE_LIMIT = 0.2  # seconds for one file
START_LIMIT = 1.3  # times the CPU time of a program that does nothing
RUNS = 3  # runs of each file
ROUNDS = 9  # runs of each program
SHOWN = 5
NOTHING = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def nothing(file: str) -> None: ...
app()
"""
POOLCTL = "from poolctl.cli.entry import main; main()"  # as in the installed command


def seconds(file: Path) -> float:
    """Return the CPU seconds of this process to check a file and print its findings."""
    spent = []
    for _ in range(RUNS):  # the first run imports modules, and any may collect garbage
        began = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(typer.Exit):
            validate([str(file)], environment=False)
        spent.append(time.process_time() - began)
    return min(spent)


def files(folder: Path) -> dict[str, Path]:
    """Return the files to measure, by name."""
    made = {}
    for name, text in large().items():
        made[name] = folder / f"{name.replace(' ', '-')}.yaml"
        made[name].write_text(text)
    return made | {file.stem: file for file in sorted((ROOT / "tests" / "broken").glob("*.yaml"))}


def cost(command: list[str], environment: dict[str, str]) -> float:
    """Return the CPU seconds of one run. Raises CalledProcessError."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # otherwise it would count as running
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime


def ratio(folder: Path) -> float:
    """Return the ratio of `poolctl validate` to a program that does nothing: the fastest of several runs each."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder)}  # compiled, as if installed
    file = folder / "quickstart.yaml"
    text = (ROOT / "topologies" / "quickstart.yaml").read_text()
    file.write_text(f"{text}listen: tcp://127.0.0.1:0\n")  # because the port in the file may be in use
    ours = [sys.executable, "-c", POOLCTL, "validate", str(file)]
    nothing = [sys.executable, "-c", NOTHING, "file"]
    cost(ours, environment)
    runs = [(cost(nothing, environment), cost(ours, environment)) for _ in range(ROUNDS)]
    return min(own for _, own in runs) / min(other for other, _ in runs)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = {name: seconds(file) for name, file in files(folder).items()}
        start = ratio(folder)
    slowest = sorted(measured.items(), key=lambda item: -item[1])
    print(f"{len(measured)} files; the slowest, in ms of CPU time (limit: {FILE_LIMIT * 1000:.0f}):")
    for name, spent in slowest[:SHOWN]:
        print(f"  {spent * 1000:6.1f}  {name}")
    print(f"validate takes {start:.2f} times as long as a typer program that does nothing (limit: {START_LIMIT})")
    return int(slowest[0][1] > FILE_LIMIT or start > START_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
