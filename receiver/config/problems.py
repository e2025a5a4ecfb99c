"""Problems: descriptions of wrong keys and values in plain words, with a hint if there is one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin
from zoneinfo import available_timezones

from pydantic import BaseModel

# The place of a key or a value: names, and numbers in lists.
Place = tuple[str | int, ...]


def near(word: str, known: Iterable[str]) -> str:
    """Return a hint for the end of a problem: the nearest known word, or all of them."""
    words = list(known)
    close = difflib.get_close_matches(word, words, 1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": known are {', '.join(words)}" if words else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word, at any distance."""
    return difflib.get_close_matches(word, list(known), 1, 0.0)[0]


def nearest_zone(name: str) -> str:
    """Return the name of the time zone that somebody may have meant, whatever its case."""
    names = {zone.lower(): zone for zone in sorted(available_timezones())}
    asked = name.strip().lower().replace(" ", "_")
    # People know the city: "Berlin" is meant for Europe/Berlin.
    cities = {zone.rpartition("/")[2].lower(): zone for zone in names.values() if "/" in zone}
    if asked in cities:
        return cities[asked]
    return names[nearest(asked, names)]


def describe_error(
    error: Mapping[str, Any], place: Place, root: type[BaseModel], whole: str = "the file"
) -> str:
    """Describe a validation error without the value, which may be a secret.

    `place` is its place below the model `root`, and `whole` is the model's name for people.
    """
    # A mistake in an item is reported for the list, because people do not count from zero.
    name = next((step for step in reversed(place) if isinstance(step, str)), whole)
    if error["type"] == "extra_forbidden":
        return f"unknown key {place[-1]!r}{near(str(place[-1]), _keys_at(root, place[:-1]))}"
    if error["type"] == "model_type":
        keys = ", ".join(f"{key}: …" for key in _keys_at(root, place))
        return f"{name}: must be keys with values" + (f", like {{{keys}}}" if keys else "")
    if error["type"] == "missing":
        return f"{name!r} is missing"
    if error["type"] in ("string_too_short", "too_short"):
        return f"{name}: must not be empty"
    text = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name}: {text}"


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model in their written form."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _keys_at(root: type[BaseModel], place: Place) -> list[str]:
    """Return the keys that may stand at a place below a model."""
    model = _model_at(root, place)
    return keys_of(model) if model is not None else []


def _model_at(annotation: Any, place: Place) -> type[BaseModel] | None:
    """Find the model at a place below a type; each list or dict uses up one step of the place."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not place:
            return annotation
        fields = dict(zip(keys_of(annotation), annotation.model_fields.values(), strict=True))
        field = fields.get(str(place[0]))
        return _model_at(field.annotation, place[1:]) if field else None
    if get_origin(annotation) in (list, dict):
        return _model_at(get_args(annotation)[-1], place[1:]) if place else None
    models = (_model_at(inner, place) for inner in get_args(annotation))
    return next(filter(None, models), None)
