"""poolctl plugin check: run the contract tests of dispatch strategies on a plugin."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from poolctl.cli.output import echo

if TYPE_CHECKING:
    from poolctl.assembly.plugins.reference import Reference

PATIENCE = 120.0  # seconds for all checks together
BROKEN = 1
FINISHED = "finished"  # what the process writes after the last check


def check(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE[:CLASS]", help="An installed strategy, or one in a file.")],
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="An option of the strategy. May be repeated."),
    ] = None,
    affine: Annotated[bool, typer.Option("--affine", help="Require that a client's tasks stay together.")] = False,
    fairness: Annotated[
        float, typer.Option(min=1.0, help="How many times an equal share of the tasks one inbox may get.")
    ] = 3.0,
    live: Annotated[bool, typer.Option("--live/--no-live", help="Include a server on loopback.")] = True,
) -> None:
    """Check a dispatch strategy against the contract of all strategies (poolctl.testing).

    The checks cover histories, fairness, affinity, memory, decision time, classes, starvation, refusals, shared state,
    purity, and a live server.

    Exits with 1 if a check fails.
    """
    from poolctl.cli.plugin.find import error_exit, find_plugin

    reference, description = find_plugin(what, ["dispatch"])
    if reference.axis != "dispatch":
        raise error_exit(f"{what} is a plugin for {reference.axis}; only dispatch strategies can be checked so far")
    given = _values(options or [])
    missing = [name for name in description.required if name not in given]
    if missing:
        raise error_exit(f"{what} requires the option {missing[0]}", f"add --set {missing[0]}=VALUE")
    try:
        import hypothesis  # noqa: F401  # is it installed?
    except ModuleNotFoundError:
        raise error_exit("the checks need hypothesis", "pip install 'poolctl[testing]'") from None
    promises = {"affine": affine, "fairness": fairness, "live": live}
    code = _run_in_child(lambda begin: _run(reference, given, promises, begin))
    raise typer.Exit(code)


def _values(options: list[str]) -> dict[str, Any]:
    """Parse the values of --set as topologies do."""
    from poolctl.cli.plugin.find import error_exit
    from poolctl.config.core_schema import construct
    from poolctl.config.diagnostic import Invalid
    from poolctl.config.loader import parse
    from poolctl.config.sources import option as source

    found = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            raise error_exit(f"--set {text} has no value", f"write --set {name}=VALUE")
        try:
            node = parse(source(value))
            found[name] = None if node is None else construct(node)
        except Invalid as invalid:
            raise error_exit(f"--set {text}: {invalid.diagnostics[0].message}") from None
    return found


def _run_in_child(work: Callable[[Callable[[str], None]], int]) -> int:
    """Run the checks in a child process, because the strategy may hang or exit. Returns the exit code.

    ``work`` receives a function to call with the name of each check before it begins. If the process ends without
    having finished, the last check has failed, whatever its exit code.
    """
    from poolctl.assembly.sandbox.descendants import reaping_descendants
    from poolctl.runtime.system import forked

    sys.stdout.flush()
    reader, writer = os.pipe()
    with reaping_descendants(), os.fdopen(reader) as begun:
        pid = forked.fork()
        if pid == 0:
            code = BROKEN
            try:
                code = work(lambda name: _note(writer, name))
                sys.stdout.flush()
                _note(writer, FINISHED)
            finally:
                os._exit(code)
        os.close(writer)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code, last = os.waitstatus_to_exitcode(status), _last(begun)
                return code if last == FINISHED else _ended(last, f"exited with status {code}")
            time.sleep(0.02)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return _ended(_last(begun), f"did not finish within {PATIENCE:g} s")


def _note(writer: int, name: str) -> None:
    os.write(writer, f"{name}\n".encode())


def _last(begun: TextIO) -> str:
    """Return the last line that the process wrote before it ended; its own children may still hold the pipe open."""
    os.set_blocking(begun.fileno(), False)
    data = b""
    while more := _read(begun.fileno()):
        data += more
    return data.decode().rstrip("\n").rpartition("\n")[2]


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 4096)
    except BlockingIOError:
        return b""


def _ended(check: str, how: str) -> int:
    during = f" during the check {check.replace('_', ' ')!r}" if check else ""
    echo(f"error: the process that runs the checks {how}{during}", err=True)
    return BROKEN


def _run(reference: Reference, given: dict[str, Any], promises: dict[str, Any], begin: Callable[[str], None]) -> int:
    """Run the checks and print a line for each. Returns the exit code."""
    from pydantic import ValidationError
    from rich.console import Console

    from poolctl.assembly.options import values_of
    from poolctl.assembly.plugins.load import load
    from poolctl.testing.contract import DispatchContract, names

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    kind = load(reference)
    try:
        values = values_of(kind, given)
        kind(**values)
    except (ValidationError, ValueError) as error:
        console.print(f"error: invalid options: {error}", markup=False)
        return BROKEN
    use = f"{reference.path}:{reference.name}" if reference.path else reference.text
    contract = type("Contract", (DispatchContract,), {"strategy": kind, "use": use})
    contract.make = staticmethod(lambda: kind(**values))  # type: ignore[attr-defined]
    contract.affine, contract.fairness = promises["affine"], promises["fairness"]  # type: ignore[attr-defined]
    chosen = [name for name in names() if promises["live"] or name != "live"]
    failed = 0
    for name in chosen:
        begin(name)
        failed += not _passes(console, contract(), name)
    summary = f"{failed} of {len(chosen)} checks failed" if failed else "all checks passed"
    console.print(f"{reference.text}: {summary}", markup=False)
    return BROKEN if failed else 0


def _passes(console: Any, contract: Any, name: str) -> bool:
    from unittest import SkipTest

    from poolctl.testing.violation import Violation

    began = time.perf_counter()
    try:
        getattr(contract, f"test_{name}")()
    except SkipTest as skipped:
        console.print(f"[dim]-[/] {name.replace('_', ' ')}: {skipped}")
        return True
    except Violation as violation:
        console.print(f"[red]x[/] {name.replace('_', ' ')}")
        for line in str(violation).splitlines():
            console.print(f"    {line}", markup=False)
        return False
    except Exception:  # noqa: BLE001  # an error that the checks do not expect is shown with its traceback
        console.print(f"[red]x[/] {name.replace('_', ' ')}")
        console.print(traceback.format_exc().rstrip(), markup=False)
        return False
    console.print(f"[green]+[/] {name.replace('_', ' ')} [dim]{time.perf_counter() - began:.1f} s[/]")
    return True
