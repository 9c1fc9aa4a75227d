"""A proposal as the text of a topology: each setting below its reason, what there is instead as comments."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from poolctl.proposal.answers import AXES, Otherwise, Proposal, Setting

# What the first line names for editors, beside the file: no address on the net, which may change or be gone.
SCHEMA = "poolctl.schema.json"
WIDTH = 110


def text(proposal: Proposal, schema: str = SCHEMA) -> str:
    """The file, with a newline at its end."""
    lines = [f"# yaml-language-server: $schema={schema}", f"# {_opening(proposal)}"]
    for setting in proposal.settings:
        lines += ["", *_setting(setting)]
        if setting is _last_axis(proposal):
            for each in proposal.otherwise:
                lines += ["", *_otherwise(each, "all of these in place of the above")]
    return "\n".join(lines) + "\n"


def _opening(proposal: Proposal) -> str:
    return (
        "What is not here has its default: `poolctl config FILE` shows all of it, "
        f"`poolctl explain FILE` how {proposal.name} works."
    )


def _last_axis(proposal: Proposal) -> Setting:
    return [each for each in proposal.settings if each.key in AXES][-1]


def _setting(setting: Setting) -> Iterator[str]:
    yield from _comment(setting.why)
    for each in setting.otherwise:
        yield from _otherwise(each)
    yield f"{setting.key}: {setting.value}"


def _otherwise(each: Otherwise, how: str = "") -> Iterator[str]:
    yield from _comment(f"{each.when}{', ' + how if how else ''}:")
    for key, value in each.settings:
        yield f"#   {key}: {value}"


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in wrap(words, WIDTH - 2, break_long_words=False, break_on_hyphens=False)]
