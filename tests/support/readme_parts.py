"""Generated parts of the README: `python -m tests.support.readme_parts` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from receiver import lifecycle
from receiver.config.settings import PREFIX, Settings
from receiver.messages import variables as of_templates

README = Path(__file__).parents[2] / "README.md"


def drawing() -> str:
    """Draw the lifecycle as the README shows it."""
    return f"```mermaid\n{lifecycle.mermaid()}\n```"


def verdicts_table() -> str:
    """The rows of the table of verdicts."""
    return "\n".join(
        f"| {verdict} | {reason} | {text} |" for (verdict, reason), text in lifecycle.RULES.items()
    )


def settings_table() -> str:
    """Write the rows of the table of settings."""
    return "\n".join(
        f"| `{PREFIX}{name.upper()}` | {'—' if of.default is None else f'`{of.default}`'} |"
        f" {of.description} |"
        for name, of in Settings.model_fields.items()
    )


def variables() -> str:
    """Say what templates may use."""
    names = ", ".join(f"`{name}`" for name in sorted(of_templates.VARIABLES))
    return f"Templates may use: {names}."


def written(text: str) -> str:
    """Write the generated parts of the README as they have to be."""
    text = re.sub(r"```mermaid\n.*?```", lambda _: drawing(), text, flags=re.S)
    text = re.sub(
        r"(\| variable \| default \| meaning \|\n\|---\|---\|---\|\n).*?(?=\n\n)",
        lambda found: found[1] + settings_table(),
        text,
        flags=re.S,
    )
    text = re.sub(
        r"(\| verdict \| reason \| when \|\n\|---\|---\|---\|\n).*?(?=\n\n)",
        lambda found: found[1] + verdicts_table(),
        text,
        flags=re.S,
    )
    return re.sub(r"Templates may use: .*?\.(?=\n)", lambda _: variables(), text, flags=re.S)


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
