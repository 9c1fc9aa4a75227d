from dataclasses import dataclass
from typing import ClassVar

from poolctl.plugin import App, Process, Protocol


@dataclass
class OldShape(Process):
    like: ClassVar[str] = "process"

    def shape(self, workers):
        return workers, 1


@dataclass
class Speechless(App):
    def load(self, surroundings):
        pass

    def serve(self, request, out):
        return True


@dataclass
class Nameless(Protocol):
    marks_requests: ClassVar[bool] = True

    def conversation(self, peer):
        pass

    def framer(self):
        pass

    def refusal(self, status):
        return b""


@dataclass
class Unmarked(Nameless):
    name: ClassVar[str] = "unmarked"
    marks_requests = None
