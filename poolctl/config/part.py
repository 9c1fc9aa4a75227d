"""What all nested mappings of the model share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A mapping that has the keys of its fields and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
