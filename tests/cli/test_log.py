from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator

import pytest

from poolctl.cli.log import level_in, start_logging


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    found = logging.getLogger("poolctl")
    before = (found.handlers, found.level, found.propagate)
    yield found
    found.handlers, found.level, found.propagate = before


def test_lines(log: logging.Logger) -> None:
    stream = io.StringIO()
    start_logging(stream)
    log.info("serving %s", "shop")
    log.warning("slow")
    log.debug("not shown")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} \[{os.getpid()}\] info  serving shop", first)
    assert second.endswith(f"[{os.getpid()}] warn  slow")


def test_logging_started_twice_writes_each_line_once(log: logging.Logger) -> None:
    stream = io.StringIO()
    start_logging(io.StringIO())
    start_logging(stream)
    log.error("once")
    assert stream.getvalue().count("once") == 1


@pytest.mark.parametrize(
    ("value", "shown"), [("debug", ["debug", "info", "warn"]), ("WARNING", ["warn"]), ("", ["info", "warn"])]
)
def test_the_variable_names_the_lowest_level(log: logging.Logger, value: str, shown: list[str]) -> None:
    stream = io.StringIO()
    start_logging(stream, level_in({"POOLCTL_LOG": value}))
    log.debug("1")
    log.info("2")
    log.warning("3")
    assert re.findall(r"\] (\w+) +\d$", stream.getvalue(), re.MULTILINE) == shown


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match='unknown log level "loud"; write debug, info, warning or error'):
        level_in({"POOLCTL_LOG": "loud"})
