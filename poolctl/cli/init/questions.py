"""What `poolctl init` asks: the words of each question, which are also those of its option's help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One field of poolctl.proposal.propose.Answers."""

    asks: str
    why: str  # what it decides, in a line
    flags: str  # of the command line; two with a slash are yes and no
    choices: tuple[tuple[str, str], ...] = ()  # words and what they mean; none: any text, or yes and no
    values: tuple[object, ...] = ()  # what the words are in the field, where they are not that themselves

    def value(self, word: str) -> object:
        """What a word of the choices is in the field."""
        if not self.values:
            return word
        return self.values[[each for each, _ in self.choices].index(word)]

    def word(self, value: object) -> str:
        """The other way round."""
        if not self.values:
            return str(value)
        return self.choices[self.values.index(value)][0]


YES_NO = (True, False)

QUESTIONS = {
    "app": Question(
        "What is the app?",
        "The only key that a topology has to have: package.module:callable, or a folder.",
        "--app",
    ),
    "kind": Question(
        "How is it called?",
        "It decides what a worker is: code that blocks, an event loop, a program.",
        "--kind",
        (
            ("wsgi", "application(environ, start_response): Flask, Django's wsgi.py, Falcon, Bottle"),
            ("asgi", "async application(scope, receive, send): FastAPI, Starlette, Quart, Django's asgi.py"),
            ("static", "no code, a folder of files"),
            ("cgi", "a program, or a folder of programs, run for each request"),
            ("lines", "a function that gets a line and returns one"),
            ("frames", "a function that gets a message after its length and returns one"),
            ("stream", "a function that owns a connection until it returns"),
            ("async-lines", "as lines, with an async function"),
            ("async-frames", "as frames, with an async function"),
            ("async-stream", "as stream, with an async function"),
            ("echo", "built in: sends back what it gets"),
            ("demo", "built in: a page that says who answered"),
        ),
    ),
    "production": Question(
        "Is this file for production or for development?",
        "Development listens on this machine alone, shows each request, and stops within a second.",
        "--production/--development",
        (("production", "it serves others"), ("development", "on your own machine")),
        YES_NO,
    ),
    "websockets": Question(
        "Does it speak WebSocket?",
        "A WebSocket is one connection for a long time, so its worker has to own it.",
        "--websockets/--no-websockets",
        (("yes", "some clients open one"), ("no", "requests and answers only")),
        YES_NO,
    ),
    "work": Question(
        "Where does most of the time of a request go?",
        "A worker that waits needs no core, so there may be many; one that computes needs a core of its own.",
        "--waits/--computes",
        (
            ("waits", "for a database, for other services, for disks"),
            ("computes", "in its own Python code"),
        ),
    ),
    "mixed": Question(
        "Are there a few slow requests between many quick ones?",
        "Reports, exports and searches, say. If so, no quick one may have to wait behind a slow one.",
        "--mixed/--uniform",
        (("mixed", "some take ten times as long as most"), ("uniform", "all are quick, and alike")),
        YES_NO,
    ),
    "keeps": Question(
        "Does it keep something in its own memory that a later request needs?",
        "Processes share no memory, so such a request has to find the right one. Caches do not count.",
        "--keeps",
        (
            ("nothing", "it is in a database, a cookie or a cache that all processes reach"),
            ("client", "things of one client, such as a session"),
            ("shared", "things of all clients, such as a chat room or a counter"),
        ),
    ),
    "proxy": Question(
        "Who do clients reach first?",
        "Behind a proxy only the proxy knows the addresses of the clients, and only its word may count.",
        "--proxy",
        (
            ("none", "this server itself"),
            ("unix", "a proxy on this machine (nginx, Caddy, HAProxy), which comes through a unix socket"),
            ("tcp", "a proxy that comes over TCP, from this machine or another"),
        ),
    ),
    "trust": Question(
        "From which address or network does the proxy come?",
        "Only connections from there may say what the address of the client is.",
        "--trust",
    ),
    "certificate": Question(
        "Which PEM file has the certificate for TLS?",
        "With one this server speaks https itself. Empty: no TLS.",
        "--certificate",
    ),
    "key": Question(
        "Which PEM file has its key?",
        "Readable by the user who starts poolctl alone. Empty: the key is in the same file.",
        "--key",
    ),
    "listen": Question(
        "Where does the server listen?",
        "tcp://HOST:PORT or unix:///PATH; the host 0.0.0.0 is all addresses of this machine.",
        "--listen",
    ),
    "thread_safe": Question(
        "May two threads run it at the same time?",
        "Threads cost little and share what is in memory. If in doubt: no, then there are processes.",
        "--thread-safe/--no-thread-safe",
        (("yes", "it shares nothing between requests without a lock"), ("no", "or not known")),
        YES_NO,
    ),
    "preload": Question(
        "Does a process of it take much memory, and does its import open nothing?",
        "If so it is imported once and forked. Connections and threads do not survive a fork.",
        "--preload/--no-preload",
        (("yes", "over 100 MB, and the import opens no connections and starts no threads"), ("no", "or not known")),
        YES_NO,
    ),
}
