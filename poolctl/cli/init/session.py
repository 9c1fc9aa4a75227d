"""One run of `poolctl init`: scan the folder, ask, propose, write the file, and report."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from poolctl.assembly.fitting import size
from poolctl.cli.init.interview import Interview, Unanswered
from poolctl.cli.init.parse import InvalidAnswer, parse_name
from poolctl.cli.init.questions import QUESTIONS
from poolctl.cli.init.write_file import Unwritable, check_path, write_file
from poolctl.cli.output import echo
from poolctl.proposal.answers import Answers, Proposal, asked
from poolctl.proposal.propose import propose
from poolctl.proposal.render import SCHEMA, render
from poolctl.proposal.scan import ScanResult, scan

WRITTEN, NO_ANSWER, USAGE, INTERRUPTED = 0, 1, 2, 130


class InitSession:
    """One run, with the options of the command line."""

    def __init__(self, output: str, *, force: bool, name: str, given: Mapping[str, Any]) -> None:
        self._output = output
        self._force = force
        self._name = name
        self._given = given
        self._console = Console(stderr=output == "-", highlight=False, emoji=False)

    def run(self, *, defaults: bool) -> int:
        """Ask and write. Returns the exit code."""
        try:
            return self._run(defaults=defaults)
        except Unanswered as unanswered:
            self._report_unanswered(unanswered)
        except (Unwritable, InvalidAnswer) as error:
            self._error(str(error))
        except EOFError:
            echo("\nThe answers ended early; nothing was written.", err=True)
            return NO_ANSWER
        except KeyboardInterrupt:
            echo("\nNothing was written.", err=True)
            return INTERRUPTED
        return USAGE

    def _run(self, *, defaults: bool) -> int:
        if self._output != "-":
            check_path(self._output, force=self._force)
        try:
            os.getcwd()
        except FileNotFoundError:
            raise InvalidAnswer("the working directory has been removed; change to another one") from None
        scanned = scan(Path())
        name = parse_name(self._name or scanned.name)
        interactive = not defaults and sys.stdin.isatty()
        if interactive:
            self._greet(scanned)
        interview = Interview(scanned, self._given, self._console if interactive else None)
        answers = interview.hold(Answers("wsgi", name=name, cores=size.usable_cores()), defaults=defaults)
        self._refuse_unused(answers)
        here = os.path.relpath(".", os.path.dirname(self._output) or ".") if self._output != "-" else "."
        if here != ".":  # paths in a topology are relative to its folder
            answers = replace(answers, directory=os.path.join(here, answers.directory).rstrip("/"))
        if answers.directory:  # relative paths would be resolved from there
            certificate, key = (path and os.path.abspath(path) for path in (answers.certificate, answers.key))
            answers = replace(answers, certificate=certificate, key=key)
        proposal = propose(answers)
        text = render(proposal)
        check_valid(text)
        if self._output == "-":
            sys.stdout.write(text)
        else:
            write_file(self._output, text, force=self._force)
        if interactive:
            self._console.print()
        self._report(answers, proposal, scanned)
        return WRITTEN

    def _greet(self, scanned: ScanResult) -> None:
        where = "standard output" if self._output == "-" else self._output
        self._console.print(
            f"This writes a topology to {where}. Enter accepts the default in brackets, Ctrl-C quits.", markup=False
        )
        for note in scanned.notes:
            self._console.print(f"note: {note}", style="yellow", markup=False)

    def _refuse_unused(self, answers: Answers) -> None:
        """Raise InvalidAnswer for an option that has no effect."""
        for field in self._given:
            if field not in (*asked(answers), "kind", "app"):
                raise InvalidAnswer(f"{QUESTIONS[field].flags} has no effect with the other answers; leave it out")
            if field == "app" and "app" not in asked(answers):
                raise InvalidAnswer(f"--app has no effect with --kind {answers.kind}, a built-in app; leave it out")

    def _error(self, message: str) -> None:
        echo(f"error: {message}", err=True)

    def _report_unanswered(self, unanswered: Unanswered) -> None:
        self._error("standard input is not a terminal, so no questions can be asked")
        echo("Add --yes to use the defaults, or answer with these options:", err=True)
        width = max(len(flag) for flag, _ in unanswered.flags)
        for flag, default in unanswered.flags:
            line = f"  {flag:{width}}  default {default}" if default else f"  {flag}"
            echo(line, err=True)

    def _report(self, answers: Answers, proposal: Proposal, scanned: ScanResult) -> None:
        """Print the main choices with their reasons, and the next steps."""
        console = self._console
        if self._output != "-":
            _print_line(console, f"Wrote {self._output}:", style="bold")
        for each in proposal.settings:
            if each.key in ("app", "listen") or each.short:
                _print_line(console, f"{each.key}: {each.value}", 2, "cyan")
                _print_line(console, each.short or each.why, 6)
        for note in (*proposal.notes, *_packages(answers), *(() if sys.stdin.isatty() else scanned.notes)):
            _print_line(console, f"note: {note}", style="yellow")
        if self._output != "-":
            file = shlex.quote(self._output)
            console.print("\nNext:", style="bold")
            schema = shlex.quote(os.path.join(os.path.dirname(self._output), SCHEMA))
            for command in (f"validate {file}", f"run {file}", f"explain {file}", f"schema > {schema}"):
                _print_line(console, f"poolctl {command}", 2)


def _print_line(console: Console, line: str, indent: int = 0, style: str = "") -> None:
    """Print a line; a terminal wraps it between words and keeps the indent, a pipe gets it whole."""
    if console.is_terminal:
        console.print(Padding(Text(line, style), (0, 0, 0, indent), expand=False))
    else:
        console.print(" " * indent + line, style=style, markup=False, soft_wrap=True)


def _packages(answers: Answers) -> list[str]:
    if answers.kind == "asgi" and answers.websockets and importlib.util.find_spec("wsproto") is None:
        return ["WebSockets need the package wsproto; pip install 'poolctl[websocket]'"]
    return []


def check_valid(text: str) -> None:
    """Check that `poolctl validate` accepts the topology. Raises InvalidAnswer with the findings otherwise."""
    from poolctl.assembly.judging.judge import judge
    from poolctl.config.diagnostic import Invalid
    from poolctl.config.sources import Inputs

    file, path = tempfile.mkstemp(suffix=".yaml")
    try:
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(text)
        errors = judge(Inputs(path)).errors
        if errors:
            raise InvalidAnswer(f"these answers do not make a valid topology:\n\n{Invalid(errors)}")
    finally:
        os.unlink(path)
