"""Everything that is wrong is reported at once, each thing once, and nothing that only follows from something else."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from poolctl.assembly.fitting.combination import DISPATCHES, OWNERSHIPS, POOLS
from poolctl.assembly.judging.judge import Judgement, judge
from poolctl.config.sources import Inputs

WORDS = {
    "pool": POOLS,
    "ownership": OWNERSHIPS,
    "dispatch": DISPATCHES,
    "affinity": ("connection", "request", "client", "path"),  # the others need an option
}
APPS = ("demo", "{asgi: shop:app}", "echo", "{stream: shop:talk}", "{async-lines: shop:line}")


def judged(folder: Path, text: str) -> Judgement:
    file = folder / "shop.yaml"
    file.write_text(text)
    return judge(Inputs(str(file)))


def reported(folder: Path, text: str) -> list[tuple[str, int, str]]:
    return [(each.code, each.place.span.line + 1, each.message) for each in judged(folder, text).findings]


@pytest.mark.parametrize("axis", WORDS)
def test_an_unknown_word_neither_hides_nor_adds_findings(axis: str, tmp_path: Path) -> None:
    """Findings about the others are those that hold whatever the unknown word would have been."""
    others = [each for each in WORDS if each != axis]
    for app, *choice in product(APPS[:3], *(WORDS[other][1:3] for other in others)):
        rest = f"app: {app}\n" + "".join(f"{other}: {word}\n" for other, word in zip(others, choice, strict=True))
        found = reported(tmp_path, f"{rest}{axis}: nonsense\n")
        assert ("PC205", 5, f'unknown {axis} "nonsense"') in found
        lines = {line for code, line, _ in found if code == "PC301"}
        always = {2, 3, 4}
        for word in WORDS[axis]:
            always &= {line for code, line, _ in reported(tmp_path, f"{rest}{axis}: {word}\n") if code == "PC301"}
        assert lines <= always, rest
        assert len(found) == len(lines) + 1


def test_no_word_has_two_findings(tmp_path: Path) -> None:
    for app, ownership, dispatch, affinity in product(APPS[1:4], OWNERSHIPS, DISPATCHES[::3], WORDS["affinity"]):
        text = f"app: {app}\nownership: {ownership}\ndispatch: {dispatch}\naffinity: {affinity}\n"
        lines = [line for code, line, _ in reported(tmp_path, text) if code == "PC301"]
        assert len(lines) == len(set(lines)), text


FRONTLESS = "under leader/followers the leader takes each task itself, so no front can dispatch by random"
CLIENT = "under leader/followers nothing reads the client's address before a worker has the connection"


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("app: demo", [("PC301", 4, CLIENT)]),
        ("app: dmo", [("PC205", 1, 'unknown app "dmo"'), ("PC301", 4, CLIENT)]),
        (
            "app: [demo]",
            [("PC201", 1, 'app: expected a name or a mapping with the key "use", not a list'), ("PC301", 4, CLIENT)],
        ),
        ("x-app: demo", [("PC202", 1, 'missing key "app"'), ("PC301", 4, CLIENT)]),
        ("app: {static: }", [("PC204", 1, "app.static: expected a value, not null"), ("PC301", 4, CLIENT)]),
    ],
)
def test_two_axes_that_do_not_fit(text: str, others: list[tuple[str, int, str]], tmp_path: Path) -> None:
    found = reported(tmp_path, f"{text}\nownership: leader/followers\ndispatch: random\naffinity: client\n")
    assert found == sorted([*others, ("PC301", 3, FRONTLESS)], key=lambda each: each[1])


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("backlog: many", "PC204"),
        ("timeouts: {request: x}", "PC204"),
        ("nme: shop", "PC203"),
        ("pool: {kind: thread, size: 0}", "PC204"),
        ("pool: proces", "PC205"),
        ("protocol: {bdy: 1}", "PC203"),
        ("listen: 8000", "PC206"),
        ("affinity: [x]", "PC201"),
        ("listen: {at: tcp://127.0.0.1:1, protocol: lines}", "PC301"),
    ],
)
def test_conflicts_are_found_next_to_other_errors(wrong: str, code: str, tmp_path: Path) -> None:
    found = reported(tmp_path, f"app: demo\nownership: leader/followers\ndispatch: random\n{wrong}\n")
    assert [(each[0], each[1]) for each in found] == [("PC301", 3), (code, 4)]
    assert found[0][2] == FRONTLESS


def test_http_only_keys_are_judged_next_to_other_errors(tmp_path: Path) -> None:
    text = "app: echo\naccess_log: common\nforwarded: {trust: unix}\n"
    text += "timeouts: {request: 3s}\npool: {size: 0}\nbacklog: 0\n"
    assert [(code, line) for code, line, _ in reported(tmp_path, text)] == [
        ("PC301", 2),
        ("PC301", 3),
        ("PC204", 5),
        ("PC204", 6),
    ]
    assert reported(tmp_path, "app: echo\naccess_log: off\nforwarded: off\ntimeouts: {request: off}\n") == []


@pytest.mark.parametrize("axis", ["pool", "ownership", "dispatch", "affinity", "protocol"])
def test_both_words_name_a_component(axis: str, tmp_path: Path) -> None:
    word = {"protocol": "http", "affinity": "request", "dispatch": "random"}.get(axis, WORDS.get(axis, ("",))[0])
    for key in ("use", "kind"):
        for over in (f"{axis}: {word}", f"{axis}: {{use: {word}}}", f"{axis}: {{kind: {word}}}"):
            (tmp_path / "over.yaml").write_text(over)
            file = tmp_path / "shop.yaml"
            file.write_text(f"app: demo\n{axis}: {{{key}: {word}}}\n")
            for overlays in ((), (str(tmp_path / "over.yaml"),)):
                found = judge(Inputs(str(file), overlays))
                assert (found.findings, found.choices[axis].name) == ([], word)
    assert [code for code, *_ in reported(tmp_path, f"app: demo\n{axis}: {{use: {word}, kind: {word}}}\n")] == ["PC203"]


def test_options_of_a_protocol_need_no_name(tmp_path: Path) -> None:
    for text in ("protocol: {body: 3MiB}", "listen: {at: tcp://127.0.0.1:1, protocol: {body: 3MiB}}"):
        found = judged(tmp_path, f"app: demo\n{text}\n")
        assert found.findings == []
        assert any(getattr(made, "body", 0) == 3 << 20 for made in found.made.values())
    assert reported(tmp_path, "app: {lines: a:b}\nprotocol: {limit: 100}\n") == []
    assert [code for code, *_ in reported(tmp_path, "app: echo\nprotocol: {body: 3MiB}\n")] == ["PC203"]
    assert [code for code, *_ in reported(tmp_path, "app: nonsense\nprotocol: {body: 3MiB}\n")] == ["PC205"]


@pytest.mark.parametrize("key", ["use", "kind"])
def test_paths_are_relative_to_the_file_with_either_name_key(key: str, tmp_path: Path) -> None:
    found = judged(tmp_path, f"app: {{{key}: static, folder: public}}\n")
    assert (found.findings, found.made["app"].folder) == ([], str(tmp_path / "public"))
