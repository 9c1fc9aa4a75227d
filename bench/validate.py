"""How long `poolctl validate` takes: for large files, for every broken one of the tests, and to start at all.

    python -m bench.validate

Prints the slowest files and the ratio to a program of typer that does nothing, and exits with 1 when one is past its
bar, which holds on a quiet machine. All figures are processor time; of a few runs the least counts.
"""

# ruff: noqa: T201  # figures on stdout are what this program is for

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

LONGEST = 0.2  # seconds for one file
LITTLE = 1.3  # times a program that does nothing
RUNS = 3  # of one file
ROUNDS = 9  # of both programs
SHOWN = 5
NOTHING = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def nothing(file: str) -> None: ...
app()
"""
POOLCTL = "from poolctl.cli.main import main; main()"  # as the installed command has it


def seconds(file: Path) -> float:
    """Of this process, to judge a file and print what is found."""
    spent = []
    for _ in range(RUNS):  # the first one imports, and one may collect garbage
        began = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(typer.Exit):
            validate([str(file)], environment=False)
        spent.append(time.process_time() - began)
    return min(spent)


def files(folder: Path) -> dict[str, Path]:
    """What is measured, by name."""
    made = {}
    for name, text in large().items():
        made[name] = folder / f"{name.replace(' ', '-')}.yaml"
        made[name].write_text(text)
    return made | {file.stem: file for file in sorted((ROOT / "tests" / "broken").glob("*.yaml"))}


def cost(command: list[str], environment: dict[str, str]) -> float:
    """Seconds of one run. Raises CalledProcessError."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # or it would be taken for one that still runs
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime


def ratio(folder: Path) -> float:
    """`poolctl validate` to a program that does nothing: the quickest run of each, which take turns."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder)}  # compiled, as installed
    file = folder / "quickstart.yaml"
    text = (ROOT / "topologies" / "quickstart.yaml").read_text()
    file.write_text(f"{text}listen: tcp://127.0.0.1:0\n")  # for the port of the file may be taken
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
    print(f"{len(measured)} files; the slowest, in ms of processor time (bar {LONGEST * 1000:.0f}):")
    for name, spent in slowest[:SHOWN]:
        print(f"  {spent * 1000:6.1f}  {name}")
    print(f"validate takes {start:.2f} times a program of typer that does nothing (bar {LITTLE})")
    return int(slowest[0][1] > LONGEST or start > LITTLE)


if __name__ == "__main__":
    sys.exit(main())
