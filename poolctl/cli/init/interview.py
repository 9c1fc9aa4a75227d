"""The interview of `poolctl init`: takes answers from options, and asks the questions that still matter."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any, TypeVar

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from poolctl.cli.init.parse import InvalidAnswer, parse, parse_app
from poolctl.cli.init.questions import QUESTIONS, Question
from poolctl.proposal.answers import BUILT_IN, FOLDERS, TARGETED, Answers, asked
from poolctl.proposal.scan import Candidate, ScanResult

T = TypeVar("T")
OFFERED_MAX = 9


class Unanswered(Exception):
    """There is no terminal to ask on. ``flags``: the options that answer the questions, and their defaults."""

    def __init__(self, flags: list[tuple[str, str]]) -> None:
        super().__init__(", ".join(flag for flag, _ in flags))
        self.flags = flags


class Interview:
    """Collects answers from options, from the user, or from the defaults."""

    def __init__(self, scan: ScanResult, given: Mapping[str, Any], console: Console | None) -> None:
        """``given``: fields of Answers that options answer. ``console``: where to ask; None: ask nothing."""
        self._scan = scan
        self._given = given
        self._console = console
        self._missing: list[tuple[str, str]] = []

    def hold(self, start: Answers, *, defaults: bool) -> Answers:
        """Return the complete answers. Without a console the defaults are used if ``defaults`` is true.

        Raises Unanswered; InvalidAnswer for the value of an option; EOFError and KeyboardInterrupt from the terminal.
        """
        answers, candidate = self._app(start)
        answered = {"app"}
        while fields := [field for field in asked(answers) if field not in answered]:
            field = fields[0]
            answers = replace(answers, **{field: self._answer(field, _default(field, answers, candidate))})
            answered.add(field)
        if self._missing and not defaults:
            raise Unanswered(self._missing)
        return answers

    def _answer(self, field: str, default: Any) -> Any:
        if field in self._given:
            return parse(field, self._given[field])
        if self._console:
            return self._ask(QUESTIONS[field], default, lambda typed: parse(field, typed))
        self._missing.append((QUESTIONS[field].flags, QUESTIONS[field].word(default)))
        return default

    def _app(self, start: Answers) -> tuple[Answers, Candidate | None]:
        """Return the answers with the app and its kind, and the candidate that was found in the folder, if any."""
        kind, app = self._given.get("kind", ""), self._given.get("app", "")
        if kind in BUILT_IN:
            return replace(start, kind=kind), None
        offered = [each for each in self._scan.candidates if _suits(each, kind)]
        if not app:
            app = self._choose_app(offered)
        candidate = next((each for each in offered if app in (each.app, each.app.partition(":")[0])), None)
        if not kind:
            known = candidate.kind if candidate else app if app in BUILT_IN else ""
            kind = known or _kind_of_path(app) or self._kind(app)
        if kind in BUILT_IN:
            return replace(start, kind=kind), None
        app = parse_app(kind, candidate.app if candidate else app)
        if candidate:
            start = replace(start, directory=candidate.directory, where=candidate.why)
        return replace(start, kind=kind, app=app), candidate

    def _choose_app(self, offered: list[Candidate]) -> str:
        offered = offered[:OFFERED_MAX]
        best = offered[0].app if offered else ""
        if not self._console:
            if not best:
                why = "no app found in this folder; name it with --app MODULE:CALLABLE, or try --kind demo"
                raise InvalidAnswer("\n".join([why, *self._scan.notes]))  # a factory, or a file with a syntax error
            self._missing.append((QUESTIONS["app"].flags, best))
            return best
        question = QUESTIONS["app"]
        self._print_question(question)
        if offered:
            self._print_rows(
                [
                    (str(at), each.app, f"{each.why} ({each.kind})" if each.kind else each.why)
                    for at, each in enumerate(offered, 1)
                ]
            )
            self._console.print("Type a number, package.module:callable, or the path of a folder", style="dim")
        else:
            self._console.print(
                "None found here. Type package.module:callable or the path of a folder; demo for the built-in app",
                style="dim",
            )

        def reader(typed: str) -> str:
            if typed.isdecimal():
                if not 1 <= int(typed) <= len(offered):
                    raise InvalidAnswer(f"{typed} is not on the list")
                return offered[int(typed) - 1].app
            return typed if _kind_of_path(typed) or typed in BUILT_IN else parse_app("wsgi", typed)

        return self._ask_until_valid(reader, best, "1" if best else "")

    def _kind(self, app: str) -> str:
        if not self._console:
            raise InvalidAnswer(f"{app} was not found in this folder; add its interface: --kind wsgi or --kind asgi")
        question = QUESTIONS["kind"]
        called = tuple(choice for choice in question.choices if choice[0] in TARGETED)  # a folder is known by its path
        return str(self._ask(replace(question, choices=called), "wsgi", lambda typed: parse("kind", typed)))

    def _ask(self, question: Question, default: T, reader: Callable[[str], T]) -> T:
        self._print_question(question)
        self._print_rows([(word, meaning) for word, meaning in question.choices])
        return self._ask_until_valid(reader, default, question.word(default) or "none")

    def _ask_until_valid(self, reader: Callable[[str], T], default: T, shown: str) -> T:
        """Ask until the answer is valid, and return it. An empty answer takes the default, if there is one."""
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
            except InvalidAnswer as error:
                self._console.print(str(error), style="red", markup=False)

    def _print_question(self, question: Question) -> None:
        assert self._console is not None
        self._console.print()
        self._console.print(question.asks, style="bold", markup=False)
        self._console.print(question.why, style="dim", markup=False)

    def _print_rows(self, rows: list[tuple[str, ...]]) -> None:
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
    """Return ``static`` or ``cgi`` for a path; empty for anything else."""
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
