"""Figures of a bench beside the goals that they have, so that one command says what is reached.

Each goal is a ratio within one run, meant for a machine that is otherwise quiet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

AT_LEAST, AT_MOST = "≥", "≤"
Goals = Mapping[str, tuple[str, float]]


def show(found: Mapping[str, float], goals: Goals, *, as_json: bool = False) -> None:
    """Print the figures; those with a goal say it, and whether it is reached."""
    if as_json:
        print(json.dumps(found))
        return
    width = max(map(len, found), default=0)
    for name, value in found.items():
        print(f"  {name:<{width}} {value:10.2f}{_beside(name, value, goals)}")


def _beside(name: str, value: float, goals: Goals) -> str:
    if name not in goals:
        return ""
    sign, goal = goals[name]
    is_reached = value >= goal if sign == AT_LEAST else value <= goal
    return f"   goal {sign} {goal:g}{'' if is_reached else ': MISSED'}"
