"""Text of an explanation, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def as_text(explanation: Mapping[str, Any]) -> str:
    """Write the result of `explain` as text."""
    status = explanation["execution_status"] or "not known yet"
    lines = [
        f"event      {explanation['event']} ({explanation['event_id']})",
        f"execution  {explanation['execution_id']}: {status}",
        f"verdict    {_verdict(explanation)}",
    ]
    if explanation["held_until"]:
        missing = " or ".join(explanation["missing"])
        lines.append(f"           {missing} is missing; given up at {explanation['held_until']}")
    lines += _consequences(explanation)
    for settled in explanation["settles"]:
        lines += [
            "",
            f"settles    {settled['event_id']} ({settled['status']}), which was held:"
            f" {_verdict(settled)}",
            *_consequences(settled),
        ]
    return "\n".join(lines)


def _verdict(judged: Mapping[str, Any]) -> str:
    return f"{judged['verdict']} ({judged['reason']}): {judged['rule']}"


def _consequences(judged: Mapping[str, Any]) -> Iterator[str]:
    if judged["silenced"]:
        yield f"silence    {judged['silenced']}"
    for route in judged["routes"]:
        yield ""
        yield from _route_lines(route)


def _route_lines(route: Mapping[str, Any]) -> Iterator[str]:
    name = f"route {route['name']!r}"
    if route["why_not"]:
        yield f"{name} does not match: {route['why_not']}"
        return
    if route["if_stuck"]:
        yield f"{name} {route['if_stuck']}"
    else:
        to = ", ".join(route["destinations"]) or "nobody new: earlier routes told them already"
        yield f"{name} tells {to}:"
        yield f"  {route['title']}"
        for line in route["body"].splitlines():
            yield f"  {line}"
    for sentence in route["then"]:
        yield f"  → {sentence}"
