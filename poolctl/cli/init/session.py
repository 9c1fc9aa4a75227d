"""One run of `poolctl init`: look, ask, propose, write, tell."""

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
from poolctl.cli.init.parse import Wrong, read_name
from poolctl.cli.init.questions import QUESTIONS
from poolctl.cli.init.write_file import Unwritable, check_place, write
from poolctl.cli.output import say
from poolctl.proposal.answers import Answers, Proposal, asked
from poolctl.proposal.propose import propose
from poolctl.proposal.render import SCHEMA, text
from poolctl.proposal.scan import Look, look

WRITTEN, NO_ANSWER, USAGE, INTERRUPTED = 0, 1, 2, 130


class Session:
    """What the command line said, and where its words go."""

    def __init__(self, output: str, *, force: bool, name: str, given: Mapping[str, Any]) -> None:
        self._output = output
        self._force = force
        self._name = name
        self._given = given
        self._console = Console(stderr=output == "-", highlight=False)

    def run(self, *, defaults: bool) -> int:
        """The exit code."""
        try:
            return self._run(defaults=defaults)
        except Unanswered as unanswered:
            self._tell_unanswered(unanswered)
        except (Unwritable, Wrong) as error:
            self._error(str(error))
        except EOFError:
            say("\nThe answers ended early: nothing was written.", err=True)
            return NO_ANSWER
        except KeyboardInterrupt:
            say("\nNothing was written.", err=True)
            return INTERRUPTED
        return USAGE

    def _run(self, *, defaults: bool) -> int:
        if self._output != "-":
            check_place(self._output, force=self._force)
        try:
            os.getcwd()
        except FileNotFoundError:
            raise Wrong("the working directory has been removed: change to another one") from None
        seen = look(Path())
        name = read_name(self._name or seen.name)
        asks = not defaults and sys.stdin.isatty()
        if asks:
            self._greet(seen)
        interview = Interview(seen, self._given, self._console if asks else None)
        answers = interview.hold(Answers("wsgi", name=name, cores=size.usable_cores()), defaults=defaults)
        self._unused(answers)
        away = os.path.relpath(".", os.path.dirname(self._output) or ".") if self._output != "-" else "."
        if away != ".":  # paths of a file count from its folder
            answers = replace(answers, directory=os.path.join(away, answers.directory).rstrip("/"))
        if answers.directory:  # from which relative paths would be looked for
            certificate, key = (path and os.path.abspath(path) for path in (answers.certificate, answers.key))
            answers = replace(answers, certificate=certificate, key=key)
        proposal = propose(answers)
        written = text(proposal)
        prove(written)
        if self._output == "-":
            sys.stdout.write(written)
        else:
            write(self._output, written, force=self._force)
        if asks:
            self._console.print()
        self._tell(answers, proposal, seen)
        return WRITTEN

    def _greet(self, seen: Look) -> None:
        where = "standard output" if self._output == "-" else self._output
        self._console.print(
            f"This writes a topology to {where}. Return takes what stands in brackets, Ctrl-C leaves.", markup=False
        )
        for note in seen.notes:
            self._console.print(f"note: {note}", style="yellow", markup=False)

    def _unused(self, answers: Answers) -> None:
        """An option that decides nothing is refused, not ignored."""
        for field in self._given:
            if field not in (*asked(answers), "kind", "app"):
                raise Wrong(f"{QUESTIONS[field].flags} decides nothing with the other answers: leave it out")
            if field == "app" and "app" not in asked(answers):
                raise Wrong(f"--app names nothing with --kind {answers.kind}, which is built in: leave it out")

    def _error(self, message: str) -> None:
        say(f"error: {message}", err=True)

    def _tell_unanswered(self, unanswered: Unanswered) -> None:
        self._error("standard input is not a terminal, so no questions can be asked")
        say("Add --yes to take the defaults, or answer:", err=True)
        width = max(len(flag) for flag, _ in unanswered.flags)
        for flag, default in unanswered.flags:
            line = f"  {flag:{width}}  default {default}" if default else f"  {flag}"
            say(line, err=True)

    def _tell(self, answers: Answers, proposal: Proposal, seen: Look) -> None:
        """What was chosen and why, in short, and what to do next."""
        say = self._console
        if self._output != "-":
            _line(say, f"Wrote {self._output}:", style="bold")
        for each in proposal.settings:
            if each.key in ("app", "listen") or each.short:
                _line(say, f"{each.key}: {each.value}", 2, "cyan")
                _line(say, each.short or each.why, 6)
        for note in (*proposal.notes, *_packages(answers), *(() if sys.stdin.isatty() else seen.notes)):
            _line(say, f"note: {note}", style="yellow")
        if self._output != "-":
            file = shlex.quote(self._output)
            say.print("\nNext:", style="bold")
            schema = shlex.quote(os.path.join(os.path.dirname(self._output), SCHEMA))
            for command in (f"validate {file}", f"run {file}", f"explain {file}", f"schema > {schema}"):
                _line(say, f"poolctl {command}", 2)


def _line(say: Console, words: str, indent: int = 0, style: str = "") -> None:
    """A line, in a terminal broken between words below where it begins; in a pipe it stays one."""
    if say.is_terminal:
        say.print(Padding(Text(words, style), (0, 0, 0, indent), expand=False))
    else:
        say.print(" " * indent + words, style=style, markup=False, soft_wrap=True)


def _packages(answers: Answers) -> list[str]:
    if answers.kind == "asgi" and answers.websockets and importlib.util.find_spec("wsproto") is None:
        return ["WebSockets need the package wsproto: pip install 'poolctl[websocket]'"]
    return []


def prove(written: str) -> None:
    """Nothing is written that `poolctl validate` would refuse. Raises Wrong with what it would say."""
    from poolctl.assembly.judging.judge import judge
    from poolctl.config.diagnostic import Invalid
    from poolctl.config.sources import Inputs

    file, path = tempfile.mkstemp(suffix=".yaml")
    try:
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(written)
        errors = judge(Inputs(path)).errors
        if errors:
            raise Wrong(f"these answers make no valid topology:\n\n{Invalid(errors)}")
    finally:
        os.unlink(path)
