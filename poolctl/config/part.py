"""What all nested mappings of the model share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, GetPydanticSchema
from pydantic_core import core_schema


class Part(BaseModel):
    """A mapping that has the keys of its fields and no others."""

    # Built at first use and then as parts of one whole, which takes half the time.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def instance_of(kind: type) -> GetPydanticSchema:
    """For a field whose value somebody else has made. Unlike pydantic's InstanceOf it does not look into the class."""
    return GetPydanticSchema(lambda _source, _handler: core_schema.is_instance_schema(kind))


@contextmanager
def without_plugins() -> Iterator[None]:
    """While models are built, keep pydantic from looking for plugins of its own in every installed distribution.

    That takes 10 ms, a third of what a topology takes; typer does the same.
    """
    before = os.environ.get("PYDANTIC_DISABLE_PLUGINS")
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYDANTIC_DISABLE_PLUGINS"]
        else:
            os.environ["PYDANTIC_DISABLE_PLUGINS"] = before
