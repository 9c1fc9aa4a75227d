"""The notes of a front: whole, or none."""

from __future__ import annotations

import mmap
import threading

from poolctl.runtime.front_notes import HEAD_OF_NOTES, NOTES_BYTES, FrontNotes


def test_what_is_written_is_read() -> None:
    notes = FrontNotes(memoryview(mmap.mmap(-1, NOTES_BYTES)))
    assert notes.read() == {}
    assert notes.write({"a": 1})
    assert FrontNotes(notes._memory).read() == {"a": 1}
    assert notes.write({})
    assert notes.read() == {}


def test_what_is_too_long_leaves_the_old() -> None:
    notes = FrontNotes(memoryview(mmap.mmap(-1, NOTES_BYTES)))
    assert notes.write({"a": 1})
    assert not notes.write({"a": "x" * NOTES_BYTES})
    assert notes.read() == {"a": 1}


def test_a_front_that_died_while_it_wrote_leaves_nothing_to_read_and_its_successor_goes_on() -> None:
    memory = memoryview(mmap.mmap(-1, NOTES_BYTES))
    notes = FrontNotes(memory)
    notes.write({"a": 1})
    HEAD_OF_NOTES.pack_into(memory, 0, 7, 5)
    assert notes.read() == {}
    assert notes.write({"b": 2})
    assert notes.read() == {"b": 2}


def test_a_reader_never_finds_half() -> None:
    notes = FrontNotes(memoryview(mmap.mmap(-1, NOTES_BYTES)))
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            notes.write({"a": number, "filling": "x" * (number % 1000), "b": number})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [notes.read() for _ in range(2000)]
    finally:
        over.set()
        writer.join()
    assert all(not each or each["a"] == each["b"] for each in found)
