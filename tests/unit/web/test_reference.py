"""Pages of the reference: Markdown as HTML, and no HTML of its own."""

from __future__ import annotations

import re

import pytest

from receiver.web.pages import reference

TEXT = """\
# A page

What it is about.

Some **strong** text with `<b>code</b>` and [another](routes.md#more), <script>bad()</script>.

<div onclick="x()">raw</div>

| a | b |
|--:|---|
| `x|y` | <img src=x> |

```
<plain> & simple
```

1. first
2. second

## More
"""


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(reference, "_markdown_of", lambda topic: TEXT)
    return str(reference._as_html.__wrapped__("made up"))


def test_headings_tables_code_and_lists_are_shown(shown: str) -> None:
    for part in (
        "<h1 id=", "<strong>strong</strong>", "<th", "<ol>", '<h2 id="more">More</h2>',
        "<pre><code>&lt;plain&gt; &amp; simple", "<code>&lt;b&gt;code&lt;/b&gt;</code>",
    ):  # fmt: skip
        assert part in shown


def test_raw_html_is_text_and_nothing_is_inline(shown: str) -> None:
    tags = set(re.findall(r"<([a-z0-9]+)", shown))
    assert tags.isdisjoint({"script", "img", "b"})
    assert "&lt;script&gt;" in shown
    assert not re.search(r"<[^>]*\s(style|on[a-z]+)=", shown)


def test_a_link_to_another_page_leads_there(shown: str) -> None:
    assert 'href="/help/routes#more"' in shown


def test_a_wide_table_can_be_moved_by_keyboard(shown: str) -> None:
    assert shown.count('<div class="scroll" tabindex="0"') == shown.count("</table></div>") == 1


def test_each_page_that_comes_with_the_program_is_listed_and_has_one_title() -> None:
    assert "services" in [topic for topic, _, _ in reference.pages()]
    for topic, title, _ in reference.pages():
        assert title
        assert str(reference._as_html(topic)).count("<h1") == 1
