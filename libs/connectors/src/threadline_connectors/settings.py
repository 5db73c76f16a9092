"""What the settings model of every channel shares. A channel adds its own keys in its own module.

Not here: reading the file and naming the line of a mistake; that is `threadline_runtime.configuration`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ChannelAccount", "OtherHalf"]

OtherHalf = Annotated[Any, Field(default=None, repr=False)]
"""The type of a key that only the other half of the channel reads: `smtp: OtherHalf` in the mail connector's model."""


class ChannelAccount(BaseModel):
    """One configured account. Unknown keys are errors; secrets are `SecretStr` and never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    id: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    channel: str
    brand: str
    display_name: str | None = None
