"""Drawing: the table of legal moves as a diagram and as text. Pure."""

from __future__ import annotations

from receiver.events import Status
from receiver.lifecycle import moves


def mermaid(observes: frozenset[Status] | None = None) -> str:
    """Draw the table in force as a Mermaid state diagram (the drawing of the reference)."""
    lines = ["stateDiagram-v2", "    [*] --> starting"]
    for source in Status:
        targets = moves(observes).targets(source)
        lines += [f"    {source} --> {target}" for target in targets]
        if not targets:
            lines.append(f"    {source} --> [*]")
    return "\n".join(lines)


def table(observes: frozenset[Status] | None = None) -> str:
    """Write the table in force as text, a status a line; statuses not observed are marked."""
    observed = frozenset(Status) if observes is None else observes
    marks = {status: "" if status in observed else " (not observed)" for status in Status}
    names = {status: f"{status}{mark}" for status, mark in marks.items()}
    width = max(map(len, names.values()))
    return "\n".join(
        f"{names[source]:<{width}}  →  "
        + (", ".join(moves(observes).targets(source)) or "nothing: terminal")
        for source in Status
    )
