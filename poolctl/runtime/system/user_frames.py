"""Which frames of a stack are the user's code: those of an app and of the packages that it uses."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from traceback import FrameSummary, StackSummary, format_list
from types import FrameType

STACK_FRAMES = 100  # of a stack that is shown: the innermost ones
_POOLCTL = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_IMPORTLIB = os.path.dirname(importlib.__file__) + os.sep
_FROZEN = "<frozen importlib"


def is_user_frame(filename: str) -> bool:
    """Whether a frame belongs neither to poolctl nor to the import machinery."""
    return not filename.startswith((_FROZEN, _IMPORTLIB, _POOLCTL))


def user_part(frames: Sequence[FrameSummary]) -> list[FrameSummary]:
    """Return a stack, oldest frame first, without poolctl's frames before the first of the user's, and without the
    import machinery; empty if none is the user's."""
    first = next((at for at, frame in enumerate(frames) if is_user_frame(frame.filename)), len(frames))
    return [frame for frame in frames[first:] if not frame.filename.startswith((_FROZEN, _IMPORTLIB))]


def frames_within(outer: FrameType, inner: FrameType) -> list[FrameSummary]:
    """Return the frames of a running thread that ``outer`` has called, oldest first. ``inner``: the newest one."""
    found: list[tuple[FrameType, int]] = []
    frame: FrameType | None = inner
    while frame is not None and frame is not outer and len(found) < STACK_FRAMES:
        found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return list(StackSummary.extract(reversed(found)))


def formatted(frames: Sequence[FrameSummary]) -> str:
    """Return the user's part of a stack, or the whole stack if poolctl itself is at work, as lines of a traceback."""
    return "".join(format_list(user_part(frames) or list(frames))).rstrip()
