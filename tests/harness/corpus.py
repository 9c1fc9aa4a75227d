"""Reads the corpus: malformed and borderline HTTP/1 as data, each case with the answer it has to get and why.

    [name of the case]
    > GET / HTTP/1.1\\r\\n               bytes as they are sent; several such lines are one after the other
    > Host: a\\r\\n\\r\\n
    = GET / {body}                      a request that is served, oldest first; the braces only where it has a body
    = 400                               the status that refuses what follows; the connection closes
    = more                              the bytes are no complete request yet: nothing is answered for them
    @ RFC 9112, 3.2: the reason

Escapes: ``\\r \\n \\t \\0 \\\\ \\xHH``, and ``\\(TEXT*COUNT)`` for TEXT so many times. A case has a status or ``more``,
or neither, never both. What a case says holds for the protocol with these LIMITS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "runtime" / "protocol" / "corpus"
LIMITS = {"head": 1024, "target": 400, "headers": 10, "body": 1_000_000, "spool": 4096}  # what the cases are about
REPEAT = re.compile(r"\\\(((?:[^()\\]|\\.)*)\*(\d+)\)")
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
SERVED = re.compile(r"(\S+) (\S+)(?: \{(.*)\})?")


@dataclass(frozen=True)
class Case:
    """``served``: (method, target, body) of each request; ``status``: 0 where nothing is refused; ``more``: whether the
    last bytes are no complete request."""

    name: str
    data: bytes
    served: tuple[tuple[str, bytes, bytes], ...]
    status: int
    more: bool
    reason: str

    def __str__(self) -> str:
        return self.name


def unescaped(text: str) -> bytes:
    """The bytes of an escaped text. Raises KeyError for an escape that there is not."""
    text = REPEAT.sub(lambda found: found[1] * int(found[2]), text)
    text = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else SIMPLE[found[2]], text)
    return text.encode("latin-1")


def read_case(group: str, block: str) -> Case:
    """One case. Raises ValueError where it does not say all that a case has to say."""
    lines = block.splitlines()
    name = f"{group}: {lines[0].removeprefix('[').removesuffix(']')}"
    told: dict[str, list[str]] = {">": [], "=": [], "@": []}
    for line in lines[1:]:
        told[line[0]].append(line[2:])
    served = [found for each in told["="] if (found := SERVED.fullmatch(each))]
    refused = [each for each in told["="] if each.isdigit()]
    more = "more" in told["="]
    if not lines[0].startswith("[") or not told[">"] or not told["="] or len(told["@"]) != 1:
        raise ValueError(f"{name}: a case has a name, bytes, an answer and one reason")
    if len(served) + len(refused) + more != len(told["="]) or len(refused) + more > 1:
        raise ValueError(f"{name}: the answer {told['=']} cannot be")
    return Case(
        name,
        b"".join(map(unescaped, told[">"])),
        tuple((each[1], unescaped(each[2]), unescaped(each[3] or "")) for each in served),
        int(refused[0]) if refused else 0,
        more,
        told["@"][0],
    )


def read(path: Path) -> list[Case]:
    """The cases of a file; those in a row without blank lines belong together."""
    text = "\n".join(line for line in path.read_text("ascii").splitlines() if not line.startswith("#"))
    return [read_case(path.stem, block) for block in re.split(r"\n{2,}", text.strip("\n"))]


CASES = [case for path in sorted(FOLDER.glob("*.txt")) for case in read(path)]
