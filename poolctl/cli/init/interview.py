"""The conversation of `poolctl init`: takes what the options say, and asks for what still decides something."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any, TypeVar

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from poolctl.cli.init.parse import Wrong, read, read_app
from poolctl.cli.init.questions import QUESTIONS, Question
from poolctl.proposal.answers import BUILT_IN, FOLDERS, TARGETED, Answers, asked
from poolctl.proposal.scan import Candidate, Look

T = TypeVar("T")
OFFERED_MAX = 9


class Unanswered(Exception):
    """There is no terminal to ask on. ``flags``: the options that would answer, and what their default would be."""

    def __init__(self, flags: list[tuple[str, str]]) -> None:
        super().__init__(", ".join(flag for flag, _ in flags))
        self.flags = flags


class Interview:
    """Answers from options, from a person, or from the defaults."""

    def __init__(self, look: Look, given: Mapping[str, Any], console: Console | None) -> None:
        """``given``: fields of Answers that options answer. ``console``: where to ask; None: no questions."""
        self._look = look
        self._given = given
        self._console = console
        self._missing: list[tuple[str, str]] = []

    def hold(self, start: Answers, *, defaults: bool) -> Answers:
        """All that decides something. Where no question can be asked it is the default, if ``defaults`` says so.

        Raises Unanswered, and Wrong for what options say; EOFError and KeyboardInterrupt of the terminal.
        """
        answers, candidate = self._app(start)
        settled = {"app"}
        while fields := [field for field in asked(answers) if field not in settled]:
            field = fields[0]
            answers = replace(answers, **{field: self._answer(field, _default(field, answers, candidate))})
            settled.add(field)
        if self._missing and not defaults:
            raise Unanswered(self._missing)
        return answers

    def _answer(self, field: str, default: Any) -> Any:
        if field in self._given:
            return read(field, self._given[field])
        if self._console:
            return self._ask(QUESTIONS[field], default, lambda typed: read(field, typed))
        self._missing.append((QUESTIONS[field].flags, QUESTIONS[field].word(default)))
        return default

    def _app(self, start: Answers) -> tuple[Answers, Candidate | None]:
        """The app and its kind, and what was found out about it."""
        kind, app = self._given.get("kind", ""), self._given.get("app", "")
        if kind in BUILT_IN:
            return replace(start, kind=kind), None
        offered = [each for each in self._look.candidates if _suits(each, kind)]
        if not app:
            app = self._which(offered)
        candidate = next((each for each in offered if app in (each.app, each.app.partition(":")[0])), None)
        if not kind:
            known = candidate.kind if candidate else app if app in BUILT_IN else ""
            kind = known or _kind_of_path(app) or self._kind(app)
        if kind in BUILT_IN:
            return replace(start, kind=kind), None
        app = read_app(kind, candidate.app if candidate else app)
        if candidate:
            start = replace(start, directory=candidate.directory, where=candidate.why)
        return replace(start, kind=kind, app=app), candidate

    def _which(self, offered: list[Candidate]) -> str:
        offered = offered[:OFFERED_MAX]
        best = offered[0].app if offered else ""
        if not self._console:
            if not best:
                why = "no app was found here: name it, --app MODULE:CALLABLE, or try poolctl out with --kind demo"
                raise Wrong("\n".join([why, *self._look.notes]))  # a factory, or a file that is no Python
            self._missing.append((QUESTIONS["app"].flags, best))
            return best
        question = QUESTIONS["app"]
        self._say(question)
        if offered:
            self._rows(
                [
                    (str(at), each.app, f"{each.why} ({each.kind})" if each.kind else each.why)
                    for at, each in enumerate(offered, 1)
                ]
            )
            self._console.print("A number, or another one: package.module:callable or a folder", style="dim")
        else:
            self._console.print(
                "Found none here: write package.module:callable or a folder, or demo to try poolctl out", style="dim"
            )

        def reader(typed: str) -> str:
            if typed.isdecimal():
                if not 1 <= int(typed) <= len(offered):
                    raise Wrong(f"there is no number {typed}")
                return offered[int(typed) - 1].app
            return typed if _kind_of_path(typed) or typed in BUILT_IN else read_app("wsgi", typed)

        return self._until(reader, best, "1" if best else "")

    def _kind(self, app: str) -> str:
        if not self._console:
            raise Wrong(f"{app} is not among what was found here, say how it is called: --kind wsgi or --kind asgi")
        question = QUESTIONS["kind"]
        called = tuple(choice for choice in question.choices if choice[0] in TARGETED)  # a folder is known by its path
        return str(self._ask(replace(question, choices=called), "wsgi", lambda typed: read("kind", typed)))

    def _ask(self, question: Question, default: T, reader: Callable[[str], T]) -> T:
        self._say(question)
        self._rows([(word, meaning) for word, meaning in question.choices])
        return self._until(reader, default, question.word(default) or "none")

    def _until(self, reader: Callable[[str], T], default: T, shown: str) -> T:
        """Ask again until it can be read; nothing is the default, where there is one."""
        assert self._console is not None
        while True:
            self._console.print(f"[{shown}] " if shown else "> ", end="", style="green", markup=False)
            typed = self._console.input().strip()
            if not typed:
                if shown:
                    return default
                continue
            try:
                return reader(typed)
            except Wrong as wrong:
                self._console.print(str(wrong), style="red", markup=False)

    def _say(self, question: Question) -> None:
        assert self._console is not None
        self._console.print()
        self._console.print(question.asks, style="bold", markup=False)
        self._console.print(question.why, style="dim", markup=False)

    def _rows(self, rows: list[tuple[str, ...]]) -> None:
        if not rows or not self._console:
            return
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="cyan", no_wrap=True)
        for row in rows:
            table.add_row(*(each.replace("[", r"\[") for each in row))
        self._console.print(Padding(table, (0, 0, 0, 2)))


def _suits(candidate: Candidate, kind: str) -> bool:
    return not kind or candidate.kind == kind or (not candidate.kind and kind in ("wsgi", "asgi"))


def _kind_of_path(app: str) -> str:
    """``static`` or ``cgi`` where it is a path."""
    folder = os.path.isdir(app) and not os.path.exists(os.path.join(app, "__init__.py"))
    if "/" not in app and not folder:
        return ""
    return "" if app.endswith(".py") else FOLDERS[1] if PurePath(app).name == "cgi-bin" else FOLDERS[0]


def _default(field: str, answers: Answers, candidate: Candidate | None) -> Any:
    if field == "listen":
        return answers.address
    if field in ("thread_safe", "websockets") and candidate:
        return getattr(candidate, field)
    return getattr(answers, field)
