"""Reference of the pages: the Markdown that comes with the program, page by page.

Raw HTML in it is text. A page begins with its title and, two lines below, what it is about.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

import markdown  # type: ignore[import-untyped]
from starlette.requests import Request
from starlette.responses import Response

from receiver.web.pages.rendering import Renderer
from receiver.web.pages.session import Visitor

_PAGE_LINK = re.compile(r'href="([a-z_]+)\.md(#[a-z0-9_-]*)?"')


class Reference:
    """The pages of the reference, for visitors whom the gate has let in."""

    def __init__(self, renderer: Renderer) -> None:
        self._render = renderer

    def contents(self, request: Request, visitor: Visitor) -> Response:
        """List the pages of the reference."""
        content = {"title": "Help", "pages": pages(), "text": None}
        return self._render.page(request, "help.html", content, visitor)

    def topic(self, request: Request, visitor: Visitor) -> Response:
        """Show a page of the reference."""
        topic = request.path_params["topic"]
        if topic not in dict.fromkeys(name for name, _, _ in pages()):
            text = "There is no such page: find it under Help."
            return self._render.problem(request, 404, text, visitor=visitor)
        content = {"title": f"Help: {topic}", "pages": pages(), "text": _as_html(topic)}
        return self._render.page(request, "help.html", content, visitor)


@cache
def pages() -> tuple[tuple[str, str, str], ...]:
    """Return topic, title and summary of each page."""
    folder = resources.files("receiver").joinpath("help")
    topics = sorted(f.name.removesuffix(".md") for f in folder.iterdir() if f.name.endswith(".md"))
    return tuple((topic, *_head(_markdown_of(topic))) for topic in topics)


def _markdown_of(topic: str) -> str:
    return resources.files("receiver").joinpath("help", f"{topic}.md").read_text("utf-8")


def _head(text: str) -> tuple[str, str]:
    """Return the title of a page, and the line about it if it is one."""
    lines = [*text.splitlines(), "", "", ""]
    summary = lines[2] if not lines[1] and not lines[3] else ""
    return lines[0].removeprefix("# "), summary


@cache
def _as_html(topic: str) -> str:
    """Return a page as HTML; what looks like HTML in it is text."""
    reader = markdown.Markdown(
        extensions=["tables", "fenced_code", "toc"],
        extension_configs={"tables": {"use_align_attribute": True}},
    )
    reader.preprocessors.deregister("html_block")
    reader.inlinePatterns.deregister("html")
    text = _PAGE_LINK.sub(r'href="/help/\1\2"', reader.convert(_markdown_of(topic)))
    region = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    return text.replace("<table>", region).replace("</table>", "</table></div>")
