"""Problems: descriptions of wrong keys and values in plain words, with a hint if there is one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin
from zoneinfo import available_timezones

from pydantic import BaseModel

# The place of a key or a value: names, and numbers in lists.
Place = tuple[str | int, ...]

MAX_SHOWN = 60
# What a value must be, by the validation library's name for the mistake.
_FORMS = {
    "string_type": "must be a text",
    "list_type": "must be a list, like [a, b]",
    "dict_type": "must be keys with values, and a blank after each colon",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be greater than or equal to {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be less than or equal to {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "string_unicode": "must be UTF-8 text",
    "string_pattern_mismatch": "must have the form {pattern}",
    "value_error": "{error}",
}


def near(word: str, known: Iterable[str]) -> str:
    """Return a hint for the end of a problem: the nearest known word, or all of them."""
    words = list(known)
    close = difflib.get_close_matches(word[:MAX_SHOWN], words, 1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": known are {', '.join(words)}" if words else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word, at any distance."""
    return difflib.get_close_matches(word[:MAX_SHOWN], list(known), 1, 0.0)[0]


def shown(word: str) -> str:
    """Return a word of the file for a problem. After a colon may stand an address with secrets."""
    head, colon, rest = word.partition(":")
    head = f"{head}:…" if colon and rest else word
    return repr(head if len(head) <= MAX_SHOWN else f"{head[:MAX_SHOWN]}…")


def printable(name: str) -> str:
    """Return a name of the environment as a terminal may show it."""
    shown = "".join(sign if sign.isprintable() else "�" for sign in name)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


def is_slip(written: str, meant: str) -> bool:
    """Return whether the name of a variable is another one with a slip.

    A slip is a letter more, less or other, two letters swapped, or other case or underscores. Other
    digits are no slip: they number things.
    """
    a, b = (name.upper().replace("_", "") for name in (written, meant))
    if a == b:
        return written != meant
    if min(len(a), len(b)) < 4 or abs(len(a) - len(b)) > 1:
        return False
    begin = next(
        (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    first, second = a[begin:], b[begin:]
    if len(a) != len(b):
        longer, shorter = (first, second) if len(a) > len(b) else (second, first)
        return longer[1:] == shorter and not longer[0].isdigit()
    if first[1:] == second[1:]:
        return not (first[0].isdigit() or second[0].isdigit())
    return first[:2] == second[1::-1] and first[2:] == second[2:]


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
    error: Mapping[str, Any],
    place: Place,
    root: type[BaseModel],
    whole: str = "the file",
    *,
    is_yaml: bool = True,
) -> str:
    """Describe a validation error without the value, which may be a secret.

    `place` is its place below the model `root`, and `whole` is the model's name for people.
    """
    # A mistake in an item is reported for the list, because people do not count from zero.
    name = next((step for step in reversed(place) if isinstance(step, str)), whole)
    name = shown(name)[1:-1]
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(str(place[-1]), place[:-1], root)
    if kind == "missing":
        return f"{name!r} is missing"
    # Nothing at all, instead of a whole document, is told what that holds.
    if error["input"] is None and place and kind not in ("value_error", "literal_error"):
        where = " (further in than its key, and in quotes if it begins with #)"
        return f"{name}: says nothing: fill it in{where * is_yaml}, or leave it out"
    if kind in ("model_type", "model_attributes_type"):
        keys = ", ".join(f"{key}: …" for key in _keys_at(root, place))
        return f"{name}: must be keys with values" + (f", like {{{keys}}}" if keys else "")
    return f"{name}: {in_words(error)}"


def in_words(error: Mapping[str, Any]) -> str:
    """Say what a value must be, without the library's words."""
    form = _FORMS.get(error["type"], "cannot be read: `receiver help routes` has its form")
    bounds = error.get("ctx", {})
    return form.format(**{k: f"{v:.12g}" if isinstance(v, float) else v for k, v in bounds.items()})


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model in their written form."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _unknown_key(name: str, place: Place, root: type[BaseModel]) -> str:
    below = [f"{key!r}" for key, keys in _parts_at(root, place) if name in keys]
    if below:
        return f"unknown key {name!r} here: it belongs below {' or '.join(below)}: indent it"
    if ":" in name:
        return f"unknown key {shown(name)}: write a blank after the colon"
    return f"unknown key {shown(name)}{near(name, _keys_at(root, place))}"


def _parts_at(root: type[BaseModel], place: Place) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys at a place that hold keys of their own, with these."""
    model = _model_at(root, place)
    for name, field in model.model_fields.items() if model else ():
        part = _model_at(field.annotation, ())
        if part is not None:
            yield field.alias or name, keys_of(part)


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
