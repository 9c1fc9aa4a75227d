"""A shop: a basket in a signed cookie, uploads, downloads, streams, and handlers for what goes wrong."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, session, stream_with_context, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.utils import secure_filename

app = Flask(__name__)
app.config.from_prefixed_env("SHOP")
FILES = Path(app.config.get("FILES", "."))
MIB = 1024 * 1024


class SoldOut(Exception):
    """There is no more of it."""


@app.teardown_request
def tidy(error: BaseException | None) -> None:
    """After the response, streamed or not, even when the client left in the middle."""
    if request.args.get("tell"):
        sys.stderr.write(f"tidied {request.path}\n")


@app.get("/")
def basket() -> dict:
    return {"basket": session.get("basket", []), "client": request.remote_addr, "pid": os.getpid()}


@app.post("/buy/<what>")
def buy(what: str) -> Response:
    if what == "unicorn":
        raise SoldOut(what)
    session["basket"] = [*session.get("basket", []), what]
    return redirect(url_for("basket", _external=True), 303)


@app.post("/upload")
def upload() -> dict:
    kept = {}
    for name, file in request.files.items(multi=True):
        path = FILES / secure_filename(file.filename or name)
        file.save(path)
        kept[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"files": kept, "form": request.form.to_dict()}


@app.put("/raw")
def raw() -> dict:
    """The body read piece by piece."""
    digest, size = hashlib.sha256(), 0
    while piece := request.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest(), "length": request.content_length}


@app.get("/files/<name>")
def file(name: str) -> Response:
    """With its type, Last-Modified, ETag and ranges."""
    return send_file(FILES / secure_filename(name), conditional=True)


@app.get("/count")
def count() -> Response:
    """A stream that still knows its request."""

    @stream_with_context
    def numbers() -> Iterator[str]:
        for number in range(int(request.args["to"])):
            yield f"{number}\n"

    return Response(numbers(), mimetype="text/plain")


@app.get("/large")
def large() -> Response:
    """So many MiB, made one after the other."""

    def parts() -> Iterator[bytes]:
        try:
            for _ in range(int(request.args["mib"])):
                yield b"x" * MIB
        finally:
            sys.stderr.write("the stream is closed\n")

    return Response(stream_with_context(parts()), mimetype="application/octet-stream")


@app.get("/page")
def page() -> Response:
    """One that a client may keep and ask about."""
    response = Response("a page that stays\n" * 100, mimetype="text/plain")
    response.add_etag()
    response.last_modified = 1_700_000_000
    return response.make_conditional(request)


@app.get("/slow")
def slow() -> str:
    time.sleep(float(request.args["seconds"]))
    return "slow"


@app.get("/headers")
def headers() -> dict:
    return {"headers": list(request.headers.items()), "cookies": request.cookies.to_dict()}


@app.get("/cookies")
def cookies() -> Response:
    """Several headers of one name."""
    response = jsonify(set=True)
    for number in range(10):
        response.set_cookie(f"cookie{number}", "x" * 1500, httponly=True, samesite="Lax")
    return response


@app.get("/teapot")
def teapot() -> None:
    abort(418)


@app.get("/fails")
def fails() -> None:
    raise ValueError("on purpose")


@app.errorhandler(SoldOut)
def sold_out(error: SoldOut) -> tuple[dict, int]:
    return {"sold out": str(error)}, 409


@app.errorhandler(HTTPException)
def as_json(error: HTTPException) -> tuple[dict, int | None]:
    return {"error": error.name}, error.code
