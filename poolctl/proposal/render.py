"""Renders a proposal as a topology file: each setting below its reason, with its alternatives as comments."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from poolctl.proposal.answers import AXES, Alternative, KeyLine, Proposal

# The schema that the first line names for editors: a file beside the topology, because a URL may stop working.
SCHEMA = "poolctl.schema.json"
WIDTH = 110


def render(proposal: Proposal, schema: str = SCHEMA) -> str:
    """Return the text of the file, which ends with a newline."""
    lines = [f"# yaml-language-server: $schema={schema}", f"# {_opening(proposal)}"]
    for setting in proposal.settings:
        lines += ["", *_setting(setting)]
        if setting is _last_axis(proposal):
            for each in proposal.alternatives:
                lines += ["", *_alternative(each, "all of these instead of the settings above")]
    return "\n".join(lines) + "\n"


def _opening(proposal: Proposal) -> str:
    return (
        "Missing keys have their defaults: `poolctl config FILE` shows all keys, "
        f"`poolctl explain FILE` how {proposal.name} works."
    )


def _last_axis(proposal: Proposal) -> KeyLine:
    return [each for each in proposal.settings if each.key in AXES][-1]


def _setting(setting: KeyLine) -> Iterator[str]:
    yield from _comment(setting.why)
    for each in setting.alternatives:
        yield from _alternative(each)
    yield f"{setting.key}: {setting.value}"


def _alternative(each: Alternative, how: str = "") -> Iterator[str]:
    yield from _comment(f"{each.when}{', ' + how if how else ''}:")
    for key, value in each.settings:
        yield f"#   {key}: {value}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)]
