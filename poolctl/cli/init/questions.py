"""The questions of `poolctl init`; each is also the help text of its option."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """The question about one field of poolctl.proposal.answers.Answers."""

    asks: str
    why: str  # what the answer decides, in one line
    flags: str  # the option that answers it; two options separated by a slash mean yes and no
    choices: tuple[tuple[str, str], ...] = ()  # words and their meaning; empty: any text
    values: tuple[object, ...] = ()  # of the field, in the order of the choices; empty: the words themselves

    def value(self, word: str) -> object:
        """Return the field's value for a word of the choices."""
        if not self.values:
            return word
        return self.values[[each for each, _ in self.choices].index(word)]

    def word(self, value: object) -> str:
        """Return the word of the choices for a value of the field."""
        if not self.values:
            return str(value)
        return self.choices[self.values.index(value)][0]


YES_NO = (True, False)

QUESTIONS = {
    "app": Question(
        "What is the app?",
        "The only required key of a topology: package.module:callable, or the path of a folder.",
        "--app",
    ),
    "kind": Question(
        "Which interface does the app have?",
        "It decides whether workers run blocking code, an event loop, or programs.",
        "--kind",
        (
            ("wsgi", "application(environ, start_response): Flask, Django's wsgi.py, Falcon, Bottle"),
            ("asgi", "async application(scope, receive, send): FastAPI, Starlette, Quart, Django's asgi.py"),
            ("static", "no code: a folder of files"),
            ("cgi", "a program, or a folder of programs, run for each request"),
            ("lines", "a function that receives a line and returns one"),
            ("frames", "a function that receives a length-prefixed message and returns one"),
            ("stream", "a function that owns a connection until it returns"),
            ("async-lines", "like lines, with an async function"),
            ("async-frames", "like frames, with an async function"),
            ("async-stream", "like stream, with an async function"),
            ("echo", "built in: sends back what it receives"),
            ("demo", "built in: a page that shows which worker answered"),
        ),
    ),
    "production": Question(
        "Is this file for production or for development?",
        "Development listens on this machine only, logs each request, and stops within a second.",
        "--production/--development",
        (("production", "it serves users"), ("development", "it runs on your own machine")),
        YES_NO,
    ),
    "websockets": Question(
        "Does the app use WebSockets?",
        "A WebSocket is a long-lived connection, so the worker that serves it must own it.",
        "--websockets/--no-websockets",
        (("yes", "some clients open one"), ("no", "only requests and responses")),
        YES_NO,
    ),
    "work": Question(
        "What does a request spend most of its time on?",
        "Waiting needs no core, so there may be many workers; computing takes a core per worker.",
        "--waits/--computes",
        (
            ("waits", "waiting for a database, another service, or a disk"),
            ("computes", "running its own Python code"),
        ),
    ),
    "mixed": Question(
        "Are there a few slow requests among many fast ones?",
        "For instance reports, exports or searches. If so, fast requests must not queue behind slow ones.",
        "--mixed/--uniform",
        (("mixed", "some take ten times as long as most"), ("uniform", "all are fast and take about as long")),
        YES_NO,
    ),
    "keeps": Question(
        "Does the app keep data in its own memory that a later request needs?",
        "Processes share no memory, so such a request must reach the right process. Caches do not count.",
        "--keeps",
        (
            ("nothing", "data is in a database, a cookie, or a cache that all processes share"),
            ("client", "data of one client, such as a session"),
            ("shared", "data of all clients, such as a chat room or a counter"),
        ),
    ),
    "proxy": Question(
        "What do clients connect to?",
        "Behind a proxy only the proxy knows the clients' addresses, and only the proxy may be believed.",
        "--proxy",
        (
            ("none", "this server"),
            ("unix", "a proxy on this machine (nginx, Caddy, HAProxy) that connects through a unix socket"),
            ("tcp", "a proxy that connects over TCP, from this machine or another"),
        ),
    ),
    "trust": Question(
        "Which address or network does the proxy connect from?",
        "Only connections from there may state the client's address.",
        "--trust",
    ),
    "certificate": Question(
        "Which PEM file has the TLS certificate?",
        "With a certificate this server speaks HTTPS itself. Empty: no TLS.",
        "--certificate",
    ),
    "key": Question(
        "Which PEM file has the certificate's key?",
        "Only the user who starts poolctl needs to read it. Empty: the key is in the certificate's file.",
        "--key",
    ),
    "listen": Question(
        "Which address should the server listen on?",
        "tcp://HOST:PORT or unix:///PATH; the host 0.0.0.0 means all addresses of this machine.",
        "--listen",
    ),
    "thread_safe": Question(
        "Is the app thread-safe?",
        "Threads are cheap and share memory. If in doubt answer no, and processes are used.",
        "--thread-safe/--no-thread-safe",
        (("yes", "requests share no data without a lock"), ("no", "it is not, or you do not know")),
        YES_NO,
    ),
    "preload": Question(
        "Does the app use much memory, and can it be imported before a fork?",
        "If so, it is imported once and then forked. Connections and threads do not survive a fork.",
        "--preload/--no-preload",
        (
            ("yes", "over 100 MB, and importing it opens no connections and starts no threads"),
            ("no", "it does not, or you do not know"),
        ),
        YES_NO,
    ),
}
