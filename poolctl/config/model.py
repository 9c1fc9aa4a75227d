"""The model of a topology file: one field for each key. Words only; the classes follow in assembly."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from poolctl.config.access_log import AccessLogSection, read_access_log
from poolctl.config.address import parse_address
from poolctl.config.classes import MOST_CLASSES, ClassEntry, read_classes, unique
from poolctl.config.forwarded import ForwardedSection, read_forwarded
from poolctl.config.health import HealthPath
from poolctl.config.host import Account, Environment, Folder, Umask
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.listen import Listen
from poolctl.config.overload import OverloadSection, read_overload
from poolctl.config.part import Part, instance_of, of_axis
from poolctl.config.pool_keys import RecycleSection, ReloadSection, ScaleSection, read_reload
from poolctl.config.units import Bytes, Seconds, Timeout, TimeoutOrOff

# Words that may be keys themselves, and the option that their value then is: `app: {wsgi: shop:app}`.
SHORT = {
    "app": {
        "wsgi": "target",
        "asgi": "target",
        "echo": "target",  # echo has no target, so giving one is reported
        "lines": "target",
        "frames": "target",
        "stream": "target",
        "async-lines": "target",
        "async-frames": "target",
        "async-stream": "target",
        "demo": "target",
        "cgi": "program",
        "static": "folder",
    },
    "affinity": {"header": "name", "cookie": "name", "path": "segments"},
}
AXES = ("app", "protocol", "pool", "ownership", "dispatch", "affinity")

DEFAULT_LISTEN = "tcp://127.0.0.1:8000"


@dataclass(frozen=True)
class Choice:
    """A component as the file names it: a word, its options, and the path of the key."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    path: tuple[str | int, ...] = ()


class LimitsSection(Part):
    """The limits of the server."""

    connections: Annotated[int, Field(ge=1, le=10_000_000, description="open connections in total")] = 10_000
    waiting: Annotated[int, Field(ge=1, le=10_000_000, description="tasks waiting for a worker")] = 1_000
    body_rate: Annotated[
        Bytes, Field(ge=0, le=1 << 30, description="minimum bytes per second of a request body; 0: no minimum")
    ] = 500


class TimeoutsSection(Part):
    """How long the server waits for clients and for the app, in seconds."""

    head: Annotated[Timeout, Field(description="for the whole head of a request, from its first byte")] = 10.0
    idle: Annotated[Timeout, Field(description="for the next request on a connection")] = 60.0
    write: Annotated[Timeout, Field(description="for a client that does not read")] = 30.0
    body: Annotated[Timeout, Field(description="for a request body, before limits.body_rate applies")] = 20.0
    request: Annotated[TimeoutOrOff, Field(description="for the app to answer a request; off: no limit")] = None
    notice: Annotated[
        Seconds, Field(ge=0, le=86400, description="between the signal to stop and the drain; meanwhile all is served")
    ] = 0.0
    drain: Annotated[Seconds, Field(ge=0, le=86400, description="for requests in flight when the server stops")] = 30.0
    stream: Annotated[
        TimeoutOrOff, Field(description="for responses and WebSockets that a drain finds begun; off: timeouts.drain")
    ] = None

    @property
    def shorter_stream(self) -> float | None:
        """``stream`` where it ends anything earlier than ``drain``; otherwise None. That of a topology is never longer,
        but development makes its drain shorter."""
        return self.stream if self.stream is not None and self.stream < self.drain else None


def read_name(value: Any) -> str:
    """The name of a topology, as given. Raises InvalidValue."""
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_.-]{1,64}", value):
        likely = re.sub("[^A-Za-z0-9_.-]+", "-", str(value))[:64].strip("-")
        raise InvalidValue(
            "expected 1 to 64 letters, digits, dots, dashes and underscores", f'for instance "{likely or "shop"}"'
        )
    return value


class Topology(Part):
    """One server. An axis that is None takes the default that suits the others."""

    name: Annotated[
        str,
        BeforeValidator(read_name),
        WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"}),
        Field(description="shown in process titles and log lines; if left out, the file's name without its extension"),
    ]
    app: Annotated[Choice, instance_of(Choice), of_axis("app"), Field(description="what answers a request")]
    listen: Listen = (parse_address(DEFAULT_LISTEN),)
    protocol: Annotated[
        Choice | None,
        instance_of(Choice, or_none=True),
        of_axis("protocol"),
        Field(description="what turns bytes into requests; if left out, the app's own"),
    ] = None
    pool: Annotated[
        Choice | None,
        instance_of(Choice, or_none=True),
        of_axis("pool"),
        Field(description="what does the work: processes or threads, and how many"),
    ] = None
    ownership: Annotated[
        Choice | None,
        instance_of(Choice, or_none=True),
        of_axis("ownership"),
        Field(description="which processes hold the listening sockets and the connections"),
    ] = None
    dispatch: Annotated[
        Choice | None,
        instance_of(Choice, or_none=True),
        of_axis("dispatch"),
        Field(description="which worker gets a task"),
    ] = None
    affinity: Annotated[
        Choice | None,
        instance_of(Choice, or_none=True),
        of_axis("affinity"),
        Field(description="which tasks go to the same worker"),
    ] = None
    preload: Annotated[bool, Field(description="import the app before the workers are forked")] = False
    backlog: Annotated[
        int, Field(ge=1, le=65535, description="connections that the kernel queues until they are accepted")
    ] = 2048
    user: Annotated[Account, Field(description="user that the processes run as")] = ""
    group: Annotated[Account, Field(description="group that the processes run as")] = ""
    umask: Annotated[Umask | None, Field(description="umask of all processes")] = None
    directory: Annotated[Folder, Field(description="working directory of all processes")] = ""
    environment: Environment = Field(default_factory=dict, description="environment variables for the app's processes")
    pid_file: Annotated[Folder, Field(description="file with the supervisor's PID")] = ""
    control: Annotated[
        Literal["full", "read", "off"],
        Field(description="which commands the server takes: all, those that only read its state, or none"),
    ] = "full"
    access_log: Annotated[
        AccessLogSection | None,
        BeforeValidator(read_access_log),
        Field(description="a line for each request: off, a format, or a mapping with a format and a destination"),
    ] = None
    forwarded: Annotated[
        ForwardedSection | None,
        BeforeValidator(read_forwarded),
        Field(description="which proxies are trusted to name their clients; off: none"),
    ] = None
    health: HealthPath = ""
    reload: Annotated[
        ReloadSection,
        BeforeValidator(read_reload),
        Field(
            default_factory=ReloadSection,
            description="how new workers start beside the old ones in a reload; to reload whenever code changes, use"
            " poolctl run FILE --watch",
        ),
    ]
    scale: Annotated[
        ScaleSection,
        Field(default_factory=ScaleSection, description="when a pool with size: {min, max} changes its size"),
    ]
    recycle: Annotated[
        RecycleSection, Field(default_factory=RecycleSection, description="when workers are replaced by new processes")
    ]
    overload: Annotated[
        OverloadSection,
        BeforeValidator(read_overload),
        Field(default_factory=OverloadSection, description="when requests that wait for a worker are refused; or off"),
    ]
    classes: Annotated[
        tuple[ClassEntry, ...],
        BeforeValidator(read_classes),
        AfterValidator(unique),
        Field(
            strict=False,
            max_length=MOST_CLASSES,
            description="requests that get workers of their own, or only so many at most, or go first",
        ),
    ] = ()
    limits: Annotated[LimitsSection, Field(default_factory=LimitsSection, description="limits of the server")]
    timeouts: Annotated[
        TimeoutsSection,
        Field(default_factory=TimeoutsSection, description="how long the server waits for clients and for the app"),
    ]

    def choices(self) -> dict[str, Choice]:
        """The axes that the file sets."""
        return {axis: choice for axis in AXES if (choice := getattr(self, axis)) is not None}
