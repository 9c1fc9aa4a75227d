"""What is written down and decided by the code: the schema beside the topologies, and parts of the pages, each below
a comment that says how it is drawn.

    <!-- drawn: rules -->                                                the table of refused combinations
    <!-- drawn: poolctl explain topologies/x.yaml --format mermaid -->   a picture
    <!-- drawn: states poolctl.runtime.serving.phases -->                the TRANSITIONS of a module
    <!-- drawn: phases poolctl.runtime.serving.phases -->                what each phase of such a table means

`make docs` runs this file, which writes all of it again; test_drawn and tests/description/test_schema.py compare.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from poolctl.assembly.fitting.rules import RULES
from poolctl.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
STATES = re.compile(r"(states|phases) ([\w.]+)")
EXPLAIN = re.compile(r"poolctl explain (topologies/[\w.-]+) --format mermaid")
DRAWN = re.compile(r"^(<!-- drawn: (.+) -->\n)(?:\n(?:```mermaid\n(?:.*\n)*?```\n|(?:\|.*\n)+))?", re.MULTILINE)


def drawing(source: str) -> str:
    """What a comment asks for. Raises ValueError when there is no such thing."""
    if source == "rules":
        rows = [f"| {rule.axis} | {rule.reason} |\n" for rule in RULES]
        return "| axis | refused because |\n| --- | --- |\n" + "".join(rows)
    if found := EXPLAIN.fullmatch(source):
        done = CliRunner().invoke(cli, ["explain", str(ROOT / found[1]), "--format", "mermaid"], catch_exceptions=False)
        if done.exit_code == 0:
            return f"```mermaid\n{done.stdout}```\n"
    if found := STATES.fullmatch(source):
        module = importlib.import_module(found[2])
        return states(module) if found[1] == "states" else phases(module)
    raise ValueError(f"nothing draws {source!r}")


def states(module: Any) -> str:
    """The diagram of a table of legal steps."""
    steps = {
        before.name: [phase.name for phase in type(before) if phase in afters]
        for before, afters in module.TRANSITIONS.items()
    }
    first = next(iter(steps))
    lines = [f"    [*] --> {first}"]
    lines += [f"    {before} --> {after}" for before, afters in steps.items() for after in afters]
    lines += [f"    {before} --> [*]" for before, afters in steps.items() if afters in ([], [first])]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n"


def phases(module: Any) -> str:
    """What each phase of such a table means."""
    rows = [f"| {phase.name} | {getattr(phase, 'meaning', phase.value)} |\n" for phase in module.TRANSITIONS]
    return "| phase | meaning |\n| --- | --- |\n" + "".join(rows)


def redrawn(text: str) -> str:
    """A page with all its drawings as the code draws them now."""
    return DRAWN.sub(lambda found: f"{found[1]}\n{drawing(found[2])}", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(redrawn(page.read_text()))
    (ROOT / "topologies" / "poolctl.schema.json").write_text(
        CliRunner().invoke(cli, ["schema"], catch_exceptions=False).stdout
    )
