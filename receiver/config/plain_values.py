"""Plain values: what a value without quotes means, decided by its key: `1.10` may be a text."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from receiver.config.strict_yaml import Plain


def as_text(value: object) -> object:
    """Return the text of a number or of a truth value, which JSON writes without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def with_types(content: Any, model: type[BaseModel]) -> Any:
    """Return the content for a model, with values without quotes of the types that it wants."""
    if not isinstance(content, dict):
        return content
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    return {
        name: _typed(value, name in fields and _is_typed(fields[name].annotation))
        for name, value in content.items()
    }


def as_written(content: Any) -> Any:
    """Return a content with all values without quotes as texts, `null` too."""
    if isinstance(content, dict):
        return {name: as_written(value) for name, value in content.items()}
    if isinstance(content, list):
        return [as_written(item) for item in content]
    return str(content) if isinstance(content, Plain) else content


def _is_typed(annotation: Any) -> bool:
    """Return whether a field takes true, false or a whole number, and no text."""
    if annotation in (bool, int) or type(annotation) in (bool, int):
        return True
    return any(_is_typed(inner) for inner in get_args(annotation))


def _typed(value: Any, is_typed: bool) -> Any:
    if isinstance(value, list):
        return [_typed(item, is_typed) for item in value]
    if not isinstance(value, Plain):
        return value
    typed = value.typed()
    return typed if is_typed or typed is None else str(value)
