"""The keys ``recycle`` and ``scale``: when workers are replaced, and when there are more of them or fewer."""

from typing import Annotated

from pydantic import Field

from poolctl.config.part import Part
from poolctl.config.units import BytesOrOff, CountOrOff, LongTimeOrOff, Seconds


class ScaleSection(Part):
    """When a pool with ``size: {min, max}`` grows and shrinks."""

    wait: Annotated[
        Seconds, Field(ge=0.001, le=60, description="it grows when every worker is busy and tasks wait for so long")
    ] = 0.02
    idle: Annotated[
        Seconds, Field(ge=1, le=86400, description="it shrinks to what was needed at most in this time")
    ] = 60.0
    memory: Annotated[
        BytesOrOff, Field(description="it does not grow while its processes use more, as PSS; off: no limit")
    ] = None


class RecycleSection(Part):
    """When a worker is replaced by a new process, which is ready first. Without a limit none is."""

    requests: Annotated[CountOrOff, Field(description="after so many requests; off: no limit")] = None
    age: Annotated[LongTimeOrOff, Field(description="after so much time; off: no limit")] = None
    memory: Annotated[
        BytesOrOff,
        Field(description="when it uses more memory than this, as PSS; off: no limit"),
    ] = None
    jitter: Annotated[
        float, Field(ge=0, le=0.9, description="part of each limit by which workers differ, so that they take turns")
    ] = 0.2
    least: Annotated[Seconds, Field(ge=0, le=86400, description="the age before which no worker is replaced")] = 30.0

    @property
    def on(self) -> bool:
        """Whether there is a limit."""
        return not (self.requests is None and self.age is None and self.memory is None)
