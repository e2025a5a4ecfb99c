"""Generated parts of README and reference: `python -m tests.support.readme_parts` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from receiver import lifecycle
from receiver.config.settings import PREFIX, Settings

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
HELP = TOP / "receiver" / "help"


def topic(name: str) -> str:
    """Return the text of a page of the reference."""
    return (HELP / f"{name}.md").read_text("utf-8")


def drawing() -> str:
    """Draw the lifecycle as a page shows it."""
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


def written(text: str) -> str:
    """Write the generated parts of a page as they have to be."""
    text = re.sub(r"```mermaid\n.*?```", lambda _: drawing(), text, flags=re.S)
    for names, rows in (
        ("variable | default | meaning", settings_table()),
        ("verdict | reason | when", verdicts_table()),
    ):
        head = rf"(\| {re.escape(names)} \|\n\|---\|---\|---\|\n).*?(?=\n\n)"
        text = re.sub(head, lambda found, rows=rows: found[1] + rows, text, flags=re.S)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    for path in (README, *HELP.glob("*.md")):
        path.write_text(written(path.read_text("utf-8")), "utf-8")
