"""What is said about a key or a value of routes.yaml that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from receiver.config.schema import (
    DestinationModel,
    EscalationModel,
    FileModel,
    GroupModel,
    KeyModel,
    Match,
    QuietModel,
    RemindModel,
    RouteModel,
    SecretHeader,
    SourceModel,
    StuckModel,
    Verify,
    near,
)
from receiver.config.strict_yaml import Path


def explained(found: Mapping[str, Any], place: Path) -> str:
    """A validation error in plain words, without the value: it may be a secret."""
    # What is wrong with one of a list is said of the list: people do not count from nought.
    name = next((step for step in reversed(place) if isinstance(step, str)), "the file")
    if found["type"] == "extra_forbidden":
        return f"unknown key {place[-1]!r}{near(str(place[-1]), _known(place[:-1]))}"
    if found["type"] == "model_type":
        known = ", ".join(f"{key}: …" for key in _known(place))
        return f"{name}: must be keys with values" + (f", like {{{known}}}" if known else "")
    if found["type"] == "missing":
        return f"{name!r} is missing"
    if found["type"] in ("string_too_short", "too_short"):
        return f"{name}: must not be empty"
    said = found["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name}: {said}"


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written."""
    return [of.alias or name for name, of in model.model_fields.items()]


# What may stand where: `*` is a name or a number in a list.
_PLACES: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): FileModel,
    ("sources", "*"): SourceModel,
    ("sources", "*", "verify"): Verify,
    ("sources", "*", "verify", "secret_header"): SecretHeader,
    ("sources", "*", "verify", "keys", "*"): KeyModel,
    ("destinations", "*"): DestinationModel,
    ("destinations", "*", "quiet"): QuietModel,
    ("routes", "*"): RouteModel,
    ("routes", "*", "match"): Match,
    ("routes", "*", "remind"): RemindModel,
    ("routes", "*", "escalate", "*"): EscalationModel,
    ("routes", "*", "group"): GroupModel,
    ("routes", "*", "quiet"): QuietModel,
    ("routes", "*", "stuck"): StuckModel,
}


def _known(around: Path) -> list[str]:
    """The keys that may stand there."""
    for pattern, model in _PLACES.items():
        if len(pattern) == len(around) and all(
            step in ("*", there) for step, there in zip(pattern, around, strict=True)
        ):
            return keys_of(model)
    return []
