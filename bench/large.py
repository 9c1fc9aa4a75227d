"""Texts near the size limit of a topology file, each stressing a different part of the parser. Used by the tests and by
``python -m bench.validate``.
"""

from __future__ import annotations

from poolctl.config.loader import MAX_BYTES

_TEXTS = {
    "keys": "".join(f"key_{number}: 1\n" for number in range(4_900)),
    "entries of a list": "x-a:\n" + "- b\n" * 16_000,
    "a list in one line": "x-a: [" + "a," * 32_000 + "a]",
    "brackets": "x-a: " + "[" * 60_000,
    "braces": "x-a: " + "{a: " * 15_000,
    "brackets with keys": "x-a: " + "[a: " * 15_000,
    "dashes": "x-a:\n" + "- " * 30_000,
    "question marks": "? " * 30_000,
    "a long text": "name: " + "shop " * 13_000,
    "escapes": 'name: "' + "\\n" * 32_000 + '"',
    "anchors": "".join(f"x-{number}: &a{number} 1\n" for number in range(3_500)),
    "aliases": "x-a: &a [1, 2, 3]\nx-b: [" + "*a," * 4_000 + "]",
    "variables": "name: " + "${NOT_SET_AT_ALL}" * 3_500,
    "dollars": "name: " + "$$" * 32_000,
    "addresses": "app: demo\nlisten:\n" + "- 8000\n" * 4_000,
    "misspelled limits": "app: demo\nlimits: {" + ", ".join(f"connection{n}: 1" for n in range(2_400)) + "}",
    "variables of the environment": "app: demo\nenvironment:\n" + "".join(f"  N{n}: 1\n" for n in range(2_400)),
    "comments": "# comment\n" * 6_500,
    "empty lines": "\n" * 65_000,
    "tabs": "\t" * 65_000,
}


def large() -> dict[str, str]:
    """Return the texts, keyed by the element that each repeats."""
    texts = {name: text[: MAX_BYTES - 10] for name, text in _TEXTS.items()}
    return {name: text if text.startswith("app") else f"app: demo\n{text}" for name, text in texts.items()}
