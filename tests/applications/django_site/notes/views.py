"""The pages: a form, an upload, a download, a stream, and what goes wrong."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render

from .models import Note

known: list[str] = []  # what was read before the first request


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ("text", "file")


def warm_up() -> None:
    """Read something from the database when the site is imported, as many do."""
    known.extend(Note.objects.order_by("pk").values_list("text", flat=True)[:1])


def index(request: HttpRequest) -> HttpResponse:
    """All notes, and the form for the next."""
    form = NoteForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        note = form.save()
        messages.success(request, f"{note.text} is written")
        return redirect("/")
    visit = request.session["visit"] = request.session.get("visit", 0) + 1
    notes = list(Note.objects.order_by("-pk")[:20])
    for note in notes:
        note.file_name = Path(note.file.name).name
    status = 400 if form.is_bound else 200
    return render(request, "notes/index.html", {"notes": notes, "form": form, "visit": visit}, status=status)


def export(request: HttpRequest) -> StreamingHttpResponse:
    """All notes as a stream that reads the database while it is sent."""

    def rows() -> Iterator[str]:
        yield "pk,text\r\n"
        for note in Note.objects.order_by("pk").iterator(chunk_size=10):
            yield f"{note.pk},{note.text}\r\n"

    return StreamingHttpResponse(rows(), content_type="text/csv")


def file(request: HttpRequest, name: str) -> FileResponse:
    """A file that was uploaded."""
    path = settings.MEDIA_ROOT / "notes" / name
    if not path.is_file():
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True)


def fails(request: HttpRequest) -> HttpResponse:
    """An exception that Django answers."""
    raise ValueError("on purpose")


def breaks(request: HttpRequest) -> StreamingHttpResponse:
    """A stream that breaks off."""

    def parts() -> Iterator[bytes]:
        yield b"the first part"
        raise ValueError("in the middle")

    return StreamingHttpResponse(parts())


async def breaks_later(request: HttpRequest) -> StreamingHttpResponse:
    """A coroutine's stream that breaks off."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"the first part"
        raise ValueError("in the middle")

    return StreamingHttpResponse(parts())


def forever(request: HttpRequest) -> StreamingHttpResponse:
    """A stream that ends with its client."""

    def ticks() -> Iterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                time.sleep(0.01)
        finally:
            sys.stderr.write("the ticks have ended\n")

    return StreamingHttpResponse(ticks())


async def forever_later(request: HttpRequest) -> StreamingHttpResponse:
    """The same of a coroutine."""

    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            sys.stderr.write("the ticks have ended\n")

    return StreamingHttpResponse(ticks())


def who(request: HttpRequest) -> JsonResponse:
    """Who answers, and what was asked."""
    if request.GET.get("collect"):
        gc.collect()
    return JsonResponse(
        {
            "pid": os.getpid(),
            "thread": threading.get_native_id(),
            "known": known,
            "url": request.build_absolute_uri(),
            "client": request.META["REMOTE_ADDR"],
            "user": str(request.user),
            "mode": os.environ.get("SHELF_MODE"),
        }
    )


async def later(request: HttpRequest) -> JsonResponse:
    """A coroutine that asks the database."""
    await asyncio.sleep(0.01)
    return JsonResponse({"notes": await Note.objects.acount()})


async def ticks(request: HttpRequest) -> StreamingHttpResponse:
    """A stream of a coroutine."""

    async def numbers() -> AsyncIterator[str]:
        for number in range(5):
            await asyncio.sleep(0.01)
            yield f"{number}\n"

    return StreamingHttpResponse(numbers(), content_type="text/plain")
