"""poolctl explain, for topologies in four formats, and for every key and word of the language."""

from __future__ import annotations

import functools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.commands import invoke
from typer.testing import CliRunner

from poolctl.assembly.judging.judge import judge
from poolctl.assembly.registry import REGISTRY, words
from poolctl.cli.draw import draw
from poolctl.cli.draw.svg import LETTER
from poolctl.cli.explain import explain as explain_command
from poolctl.cli.main import cli
from poolctl.config.other_servers import ANSWERS, KEYS
from poolctl.config.sources import Inputs
from poolctl.description import glossary
from poolctl.description.diagram import diagram
from poolctl.description.glossary import explain_key, keys, options

GALLERY = sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml"))
SVG = "{http://www.w3.org/2000/svg}"


def explain(*arguments: str) -> tuple[int, str, str]:
    return invoke("explain", *arguments)


def drawn(file: Path, form: str) -> str:
    return draw(form)(diagram(judge(Inputs(str(file)))))


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_text(file: Path) -> None:
    text = drawn(file, "text")
    assert all(len(line) <= 100 for line in text.splitlines())
    headings = [line for line in text.splitlines() if line and line[0].isupper() and not line.startswith(file.stem)]
    assert headings[:3] == ["Processes and sockets", "Path of a request", "Choices"]


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_mermaid(file: Path) -> None:
    lines = drawn(file, "mermaid").splitlines()
    assert lines[0] == "flowchart TB"
    opened = [line for line in lines if line.strip().startswith("subgraph ")]
    assert len(opened) == sum(line.strip() == "end" for line in lines)
    node = r'\w+(\[/|\[\(|\(\[|\[|\()"[^"]*"(/\]|\)\]|\]\)|\]|\))'
    for line in lines[1:]:
        assert re.fullmatch(rf'subgraph \w+\["[^"]*"\]|end|{node}|\w+ -->\|"[^"]*"\| \w+', line.strip()), line


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_json(file: Path) -> None:
    found = json.loads(drawn(file, "json"))
    assert (found["format_version"], found["processes"]["title"]) == ("1.0", "supervisor")


Rectangle = tuple[float, float, float, float]


def rectangle(element: ElementTree.Element) -> Rectangle:
    x, y, width, height = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def text_box(element: ElementTree.Element) -> Rectangle:
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    letter = LETTER * (11 / 12 if element.attrib.get("class") == "label" else 1)
    return x, y - 10, x + letter * len(element.text or ""), y + 3


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_svg(file: Path) -> None:
    """Texts stay inside the drawing and do not overlap, and boxes are either separate or nested."""
    root = ElementTree.fromstring(drawn(file, "svg"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    boxes = [rectangle(element) for element in root.iter(f"{SVG}rect")]
    texts = [(element.text, text_box(element)) for element in root.iter(f"{SVG}text")]
    for text, place in texts:
        assert place[0] >= 0, text
        assert place[1] >= 0, text
        assert place[2] <= width, text
        assert place[3] <= height, text
    for number, (text, place) in enumerate(texts):
        for other, there in texts[number + 1 :]:
            assert not overlap(place, there), (text, other)
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            inside = one[0] <= other[0] and one[1] <= other[1] and other[2] <= one[2] and other[3] <= one[3]
            assert inside or not overlap(one, other)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text("app: demo\npool: {size: 2}\n")
    status, shown, _ = explain("shop.yaml", "--set", "dispatch=random")
    assert status == 0
    assert shown.startswith("shop: 2 processes, half-sync/half-reactive, dispatch random")
    assert "  dispatch: random  (--set dispatch=random)" in shown
    assert explain("shop.yaml", "--format", "svg")[1].startswith("<svg ")
    Path("wrong.yaml").write_text("app: dmo\n")
    status, shown, said = explain("wrong.yaml")
    assert (status, shown) == (2, "")
    assert 'did you mean "demo"?' in said


@pytest.fixture(scope="module", autouse=True)
def _combinations_that_fit() -> Iterator[None]:
    """They are the same for every word, and found once: that takes 50 ms."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(glossary, "_allowed", functools.cache(glossary._allowed))
        yield


@pytest.mark.parametrize("key", keys())
def test_every_key_is_explained(key: str) -> None:
    text = explain_key(key)
    component = "." in key and key.partition(".")[0] in REGISTRY
    assert text.startswith(key.replace(".", " ", 1) if component else key)
    first = text.splitlines()[0].partition(": ")[2]
    assert first, "it has a description"


@pytest.mark.parametrize("option", options())
def test_every_option_is_explained(option: str) -> None:
    text = explain_key(option)
    assert text.startswith(f"{option} is an option of:\n\n  ")
    assert not text.endswith(": \n"), "it has a description"


@pytest.mark.parametrize(("axis", "word"), [(axis, word) for axis in REGISTRY for word in words(axis)])
def test_every_word_is_explained(axis: str, word: str) -> None:
    status, shown, _ = explain(word) if word not in keys() else explain(f"{axis}.{word}")
    assert status == 0
    assert f"{axis} {word}: " in shown
    assert not re.search(r"default: (\)|.*(object at|\['|\('|\{))", shown), "defaults are as a person would write them"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("PC203", "PC203: an unknown key\n"),
        ("dispatch", "choices: inboxes to draw for each task (default: 2)"),
        ("limits.waiting", "default: 1000"),
        ("tls", "listen.tls: TLS on this address\n"),
        ("random", "ownership: half-sync/half-reactive, half-sync/half-async, reuse-port"),
        ("pc203", "PC203: an unknown key\n"),
        ("pool.kind", "pool: what does the work"),
        (
            "dispatch.choices",
            "dispatch.choices is an option of:\n\n  power-of-choices: inboxes to draw for each task (default: 2)\n",
        ),
        ("protocol.http.body", "  http: bytes of a request body, decoded; more: 413 (default: 16MiB)\n"),
        ("size", "protocol.size is an option of:\n\n  frames: bytes of the length prefix"),
        ("listen.0.tls", "listen.tls: TLS on this address\n"),
        ("name", "default: the file's name\n"),
        ("app.cgi", "timeout: for one run of the program (default: 1m)"),
    ],
)
def test_explanations(what: str, says: str) -> None:
    status, shown, _ = explain(what)
    assert status == 0
    assert says in shown


@pytest.mark.parametrize(
    ("what", "fix"),
    [
        ("dispach", 'did you mean "dispatch"?'),
        ("qqqq", "name a file"),
        ("PC999", "PC"),
        ("idel", '"idle"'),
        ("pool.sise", '"pool.size"'),
        ("pool.http.body", ""),
    ],
)
def test_unknown_words(what: str, fix: str) -> None:
    status, shown, said = explain(what)
    assert (status, shown) == (2, "")
    assert fix in said


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("auto-reload", "auto-reload: during development, `poolctl run FILE --watch`"),
        ("reload", "reload: how new workers start beside the old ones in a reload; to reload whenever code changes"),
        ("max-requests", "max-requests: called recycle.requests here\n\nrecycle.requests: "),
        ("daemon", "daemon: poolctl stays in the foreground"),
        ("workers", "workers: called pool.size here\n\npool.size is an option of:\n"),
        ("ssl_keyfile", "ssl_keyfile: called listen.tls.key here\n\nlisten.tls.key: "),
        ("timeouts.read", "timeouts.read: called timeouts.body here\n\ntimeouts.body: "),
        ("gevent", "gevent: poolctl has no green threads"),
        ("flask", "flask: write app: {wsgi: MODULE:CALLABLE}\n"),
        ("least-connections", "least-connections: write dispatch: least-loaded\n"),
    ],
)
def test_words_of_other_servers(what: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["explain", what])
    assert (done.exit_code, done.stdout.startswith(said)) == (0, True), done.output


def test_every_word_of_other_servers_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for what in sorted({*KEYS, *ANSWERS}):
        explain_command(what)  # raises typer.Exit for what it does not know
        assert what in capsys.readouterr().out


def test_a_misspelled_word_of_another_server() -> None:
    done = CliRunner().invoke(cli, ["explain", "relaod"])
    assert (done.exit_code, 'did you mean "reload"?' in done.stderr) == (2, True)
