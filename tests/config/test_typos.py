"""Typos that leave valid YAML with another meaning: each is reported once, and the file is read as it was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poolctl.config.invisible import NOTHING, SPACE
from poolctl.config.load import MAPPINGS, Draft, draft
from poolctl.config.sources import Inputs

INSIDE = {
    "app": "wsgi: shop:app",
    "protocol": "use: http",
    "pool": "kind: thread",
    "ownership": "use: reuse-port",
    "dispatch": "use: random",
    "affinity": "header: Session",
    "limits": "waiting: 3",
    "timeouts": "idle: 3s",
    "listen": "at: tcp://127.0.0.1:1",
    "access_log": "to: stderr",
    "forwarded": "trust: 10.0.0.0/8",
    "environment": "DEBUG: 'yes'",
    "recycle": "age: 3h",
    "scale": "idle: 3s",
    "overload": "target: 3s",
    "classes": "path: /login",
    "reload": "surge: 3",
}
SPACES = [chr(code) for code in (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)]


def read(folder: Path, text: str) -> Draft:
    file = folder / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    return draft(Inputs(str(file)))


def one(folder: Path, wrong: str, right: str, code: str) -> str:
    """The message of the only finding about the wrong file, which otherwise reads like the right one."""
    meant, found = read(folder, right), read(folder, wrong)
    assert meant.tree.report(meant.findings) == []
    (finding,) = found.tree.report(found.findings)
    assert finding.code == code
    assert finding.help
    assert found.tree.value() == meant.tree.value()
    assert found.choices == meant.choices
    return finding.message


def test_every_mapping_is_tried() -> None:
    assert set(INSIDE) == set(MAPPINGS)


@pytest.mark.parametrize("owner", INSIDE)
def test_a_key_that_is_not_indented(owner: str, tmp_path: Path) -> None:
    app = "" if owner == "app" else "app: demo\n"
    inner = INSIDE[owner]
    for after in ("", "backlog: 5\n", "x-mine: 1\n"):
        wrong, right = f"{app}{owner}:\n{inner}\n{after}", f"{app}{owner}:\n  {inner}\n{after}"
        message = one(tmp_path, wrong, right, "PC201")
        assert message == f'"{inner.partition(":")[0]}" is not indented under "{owner}"'


def test_a_key_without_a_value_is_not_taken_for_an_owner(tmp_path: Path) -> None:
    for text in (
        "app: demo\nuser:\nworkers: 4\n",
        "app: demo\naccess_log:\nlimits: {waiting: 3}\n",
        "pool:\napp: demo\n",
    ):
        found = read(tmp_path, text)
        assert "indented" not in " ".join(each.message for each in found.tree.report(found.findings))


@pytest.mark.parametrize("owner", [owner for owner in INSIDE if owner not in ("environment", "listen")])
@pytest.mark.parametrize("sign", [":", "=", " = "])
def test_a_colon_without_a_space(owner: str, sign: str, tmp_path: Path) -> None:
    app = "" if owner == "app" else "app: demo\n"
    inner = INSIDE[owner]
    glued = inner.replace(": ", sign, 1)
    message = one(tmp_path, f"{app}{owner}: {{{glued}}}\n", f"{app}{owner}: {{{inner}}}\n", "PC203")
    assert message == (f'missing space after the colon in "{glued}"' if sign == ":" else '"=" instead of a colon')


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"U+{ord(space):04X}")
def test_unusual_spaces(space: str, tmp_path: Path) -> None:
    right = "app: demo\npool:\n  kind: thread\nlimits: {waiting: 3, connections: 4}\n"
    for wrong in (
        right.replace("  kind", f"{space}{space}kind"),
        right.replace("kind: ", f"kind:{space}"),
        right.replace(", ", f",{space}"),
        right.replace("thread", f"thread{space}"),
    ):
        assert "does not treat as a space" in one(tmp_path, wrong, right, "PC102")


@pytest.mark.parametrize("nothing", list(NOTHING), ids=lambda nothing: f"U+{ord(nothing):04X}")
def test_invisible_characters(nothing: str, tmp_path: Path) -> None:
    right = "app: demo\npool: thread\n"
    for word in ("pool", "thread"):
        for wrong in (f"{nothing}{word}", f"{word[:2]}{nothing}{word[2:]}", f"{word}{nothing}"):
            assert "is invisible" in one(tmp_path, right.replace(word, wrong), right, "PC102")


@pytest.mark.parametrize("quotes", ["\u201c\u201d", "\u201e\u201c", "\u2018\u2019", "\u00ab\u00bb"])
def test_typographic_quotes(quotes: str, tmp_path: Path) -> None:
    right = "app: {wsgi: shop:app}\nname: shop\n"
    for word in ("shop:app", "name", "wsgi"):
        wrong = right.replace(word, f"{quotes[0]}{word}{quotes[1]}", 1)
        assert "does not treat as a quote" in one(tmp_path, wrong, right, "PC102")


def test_they_are_allowed_in_strings_and_comments(tmp_path: Path) -> None:
    odd = "".join(SPACES) + NOTHING + "“”"
    text = (
        f"app: demo # {odd}\n# {odd}\nenvironment:\n  A: 'a{odd}'\n  B: \"{odd}b\"\n  C: |\n    c{odd}\n"
        "  D: d\u00a0d «d» d\n  E: 👩\u200d💻\n"
    )
    found = read(tmp_path, text)
    assert found.tree.report(found.findings) == []
    variables = found.tree.value()["environment"]
    assert variables["A"] == f"a{odd}"
    assert variables["B"] == f"{odd}b"
    assert variables["D"] == "d\u00a0d «d» d"
    assert variables["E"] == "👩\u200d💻"


def test_all_spaces_are_tried() -> None:
    assert set(SPACES) == set(re.findall(f"[{SPACE}]", "".join(map(chr, range(0x10000)))))
