from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import MISSING, fields
from typing import Any

import pytest
from harness.machine import within
from harness.shown import CHECKS

from poolctl.assembly.fitting.combination import (
    AFFINITIES,
    DISPATCHES,
    MARKS_REQUESTS,
    NEEDED,
    OWNERSHIPS,
    POOLS,
    SERVICES,
    Offer,
)
from poolctl.assembly.options import form
from poolctl.assembly.registry import REGISTRY, part_class, words

EVERY = [(axis, word) for axis in REGISTRY for word in words(axis)]


@pytest.mark.parametrize(("axis", "word"), EVERY)
def test_a_word_is_the_name_of_its_file_or_folder_and_class(axis: str, word: str) -> None:
    module, _, name = REGISTRY[axis][word].partition(":")
    camel = "".join(part.title() for part in re.split("[-/]", word))
    place, file = f"poolctl.runtime.{axis}", re.sub("[-/]", "_", word)
    assert module in (f"{place}.{file}", f"{place}.{file}.{axis}", f"{place}.functions.{file}")
    assert name in (camel, f"{camel}App")


@pytest.mark.parametrize(("axis", "word"), EVERY)
def test_every_word_has_a_class_whose_options_can_be_read(axis: str, word: str) -> None:
    form(part_class(axis, word)).json_schema()


def test_the_rules_know_the_same_words() -> None:
    known = {"pool": POOLS, "ownership": OWNERSHIPS, "dispatch": DISPATCHES, "affinity": AFFINITIES}
    known |= {"app": tuple(SERVICES), "protocol": tuple(MARKS_REQUESTS)}
    for axis, expected in known.items():
        assert set(words(axis)) == set(expected), axis


@pytest.mark.parametrize("app", words("app"))
def test_the_rules_know_the_facts_of_the_classes(app: str) -> None:
    found = part_class("app", app)
    protocol = part_class("protocol", found.protocol)
    assert SERVICES[app] == Offer(
        app,
        found.protocol,
        protocol.name,
        protocol.marks_requests,
        found.owns_connection,
        found.asynchronous,
        lendable=found.lendable,
        needs=" ".join(needed(found)),
    )


def needed(part: type[Any]) -> list[str]:
    """The required options of a part."""
    return [
        field.name
        for field in fields(part)
        if field.init and field.default is MISSING and field.default_factory is MISSING
    ]


@pytest.mark.parametrize(("axis", "word"), [(axis, word) for axis in REGISTRY if axis != "app" for word in words(axis)])
def test_only_apps_and_sessions_need_options(axis: str, word: str) -> None:
    assert needed(part_class(axis, word)) == ([NEEDED[word]] if axis == "affinity" and word in NEEDED else [])


@pytest.mark.parametrize("protocol", words("protocol"))
def test_the_rules_know_the_protocols(protocol: str) -> None:
    found = part_class("protocol", protocol)
    assert (found.name, found.marks_requests) == (protocol, MARKS_REQUESTS[protocol])


def test_nothing_is_imported_before_it_is_chosen() -> None:
    code = (
        "import sys, poolctl.assembly.registry as r, poolctl.assembly.fitting.rules; r.words('app');"
        "print([m for m in sys.modules if m.startswith('poolctl.runtime')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=within(30), check=True)
    assert done.stdout.strip() == "[]"


def test_every_dispatch_has_a_check_that_shows_its_choices() -> None:
    assert set(CHECKS) == set(words("dispatch"))
