"""poolctl plugin check: does a strategy keep the contract of all strategies?"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from poolctl.cli.output import say

if TYPE_CHECKING:
    from poolctl.assembly.plugins.reference import Reference

PATIENCE = 120.0  # seconds for all checks together
BROKEN = 1
OVER = "over"


def check(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE[:CLASS]", help="An installed strategy, or a file's.")],
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="An option of the strategy; may be repeated."),
    ] = None,
    affine: Annotated[bool, typer.Option("--affine", help="It promises to keep a client's tasks together.")] = False,
    fairness: Annotated[float, typer.Option(min=1.0, help="Times an equal share that one inbox may get.")] = 3.0,
    live: Annotated[bool, typer.Option("--live/--no-live", help="With a server on loopback too.")] = True,
) -> None:
    """Check a dispatch strategy against the contract of all strategies, as poolctl.testing does in tests of its own.

    Any history of tasks and workers, fairness, affinity, memory, time, purity, and one live server. Exits with 1 when
    it breaks one of them.
    """
    from poolctl.cli.plugin.find import found, left

    reference, description = found(what, ["dispatch"])
    if reference.axis != "dispatch":
        raise left(f"{what} is a plugin of {reference.axis}, and only strategies of dispatch have a contract so far")
    given = _values(options or [])
    missing = [name for name in description.required if name not in given]
    if missing:
        raise left(f"{what} needs the option {missing[0]}", f"for instance --set {missing[0]}=...")
    try:
        import hypothesis  # noqa: F401  # is it there?
    except ModuleNotFoundError:
        raise left("the checks need hypothesis", "pip install 'poolctl[testing]'") from None
    promises = {"affine": affine, "fairness": fairness, "live": live}
    code = _apart(lambda begins: _run(reference, given, promises, begins))
    raise typer.Exit(code)


def _values(options: list[str]) -> dict[str, Any]:
    """As topologies write them."""
    from poolctl.cli.plugin.find import left
    from poolctl.config.diagnostic import Invalid
    from poolctl.config.loader import construct, parse
    from poolctl.config.sources import option as source

    found = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            raise left(f"--set {text} has no value", f"for instance --set {name}=3")
        try:
            node = parse(source(value))
            found[name] = None if node is None else construct(node)
        except Invalid as invalid:
            raise left(f"--set {text}: {invalid.diagnostics[0].message}") from None
    return found


def _apart(work: Callable[[Callable[[str], None]], int]) -> int:
    """In a process of its own: the strategy may hang or leave. The work says which check it begins, and nothing at its
    end: a process that left in the middle of one has not kept it, whatever its exit code is."""
    from poolctl.assembly.sandbox.offspring import adopting
    from poolctl.runtime.system import forked

    sys.stdout.flush()
    reader, writer = os.pipe()
    with adopting(), os.fdopen(reader) as begun:
        pid = forked.fork()
        if pid == 0:
            code = BROKEN
            try:
                code = work(lambda name: _note(writer, name))
                sys.stdout.flush()
                _note(writer, OVER)
            finally:
                os._exit(code)
        os.close(writer)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code, last = os.waitstatus_to_exitcode(status), _last(begun)
                return code if last == OVER else _ended(last, f"left with {code}")
            time.sleep(0.02)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return _ended(_last(begun), f"was not over after {PATIENCE:g} s")


def _note(writer: int, name: str) -> None:
    os.write(writer, f"{name}\n".encode())


def _last(begun: TextIO) -> str:
    """What the process, which has ended, noted last; what it started may still have the pipe open."""
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
    at = f" at {check.replace('_', ' ')!r}" if check else ""
    say(f"error: the process with the checks {how}{at}", err=True)
    return BROKEN


def _run(reference: Reference, given: dict[str, Any], promises: dict[str, Any], begins: Callable[[str], None]) -> int:
    """A line for each check; how many are broken."""
    from pydantic import ValidationError
    from rich.console import Console

    from poolctl.assembly.options import values_of
    from poolctl.assembly.plugins.load import load
    from poolctl.testing.contract import DispatchContract, names

    console = Console(highlight=False, soft_wrap=True)
    kind = load(reference)
    try:
        values = values_of(kind, given)
        kind(**values)
    except (ValidationError, ValueError) as error:
        console.print(f"error: its options are not right: {error}", markup=False)
        return BROKEN
    use = f"{reference.path}:{reference.name}" if reference.path else reference.text
    contract = type("Contract", (DispatchContract,), {"strategy": kind, "use": use})
    contract.make = staticmethod(lambda: kind(**values))  # type: ignore[attr-defined]
    contract.affine, contract.fairness = promises["affine"], promises["fairness"]  # type: ignore[attr-defined]
    chosen = [name for name in names() if promises["live"] or name != "live"]
    broken = []
    for name in chosen:
        begins(name)
        if not _checked(console, contract(), name):
            broken.append(name)
    console.print(f"{reference.text}: {f'{len(broken)} broken' if broken else 'all kept'}", markup=False)
    return BROKEN if broken else 0


def _checked(console: Any, contract: Any, name: str) -> bool:
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
    except Exception:  # noqa: BLE001  # what no check foresees is shown as it is
        console.print(f"[red]x[/] {name.replace('_', ' ')}")
        console.print(traceback.format_exc().rstrip(), markup=False)
        return False
    console.print(f"[green]+[/] {name.replace('_', ' ')} [dim]{time.perf_counter() - began:.1f} s[/]")
    return True
