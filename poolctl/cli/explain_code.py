"""Explains a finding's code: why it is a finding, an example as `validate` shows it, and its fix."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from poolctl.assembly.judging.judge import judge
from poolctl.config.codes import CODES, STAGES, Code
from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.human import PLAIN, Page, plain
from poolctl.config.sources import Inputs

NAME = "example.yaml"


MARGIN = "    "


def explain_code(code: str, page: Page = PLAIN) -> str:
    """Return the explanation of a code, laid out for a page. Raises KeyError for an unknown code."""
    about = CODES[code]
    texts = [f"{code}: {about.title}", f"A finding of the stage {STAGES[code[2]]}.", about.why]
    if about.example:
        texts += [_indented(about.example), _shown(code, about, page)]
    if about.fixed:
        texts += ["Fixed:", _indented(about.fixed)]
    if about.how:
        texts.append(f"How to fix it: {about.how}")
    return "\n\n".join(texts)


def _indented(text: str) -> str:
    return "\n".join(f"{MARGIN}{line}" for line in text.rstrip("\n").splitlines())


def _shown(code: str, about: Code, page: Page) -> str:
    """Return the findings of the example, as `validate` prints them."""
    command = f"$ poolctl validate {NAME} {about.command}".rstrip()
    inner = page._replace(columns=max(0, page.columns - len(MARGIN)))
    shown = [plain(finding, inner) for finding in example_findings(about) if finding.code == code]
    return _indented("\n".join([command, *shown]))


def example_findings(about: Code, text: str = "") -> list[Diagnostic]:
    """Return the findings in a code's example, or in ``text`` instead of it, without checking the host."""
    words = shlex.split(about.command)
    sets = tuple(word for flag, word in zip(words[::2], words[1::2], strict=True) if flag == "--set")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME
        file.write_text(text or about.example)
        try:
            found = judge(Inputs(str(file), sets=sets)).findings
        except Invalid as invalid:
            found = invalid.diagnostics
    for finding in found:
        source = finding.place.source
        source.name = source.name if not source.is_file else NAME
    return found
