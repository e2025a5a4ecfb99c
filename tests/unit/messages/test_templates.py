"""Templates shape words and can neither run long nor grow large."""

from __future__ import annotations

import pytest
from jinja2.exceptions import SecurityError

from receiver.messages import templates

KNOWN = frozenset({"a", "b"})


def test_a_template_branches_loops_and_shapes_words() -> None:
    text = "{% for x in a %}{{ x | upper }}{% if not loop.last %}, {% endif %}{% endfor %}"
    assert templates.problem(text, KNOWN) is None
    assert templates.render(text, {"a": ["x", "y"]}) == "X, Y"
    assert templates.render("{{ b.strip() ~ 2 * 3 }}", {"b": " n "}) == "n6"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ c }}", "'c', which is unknown"),
        ("{% for i in range(9) %}{% endfor %}", "'range', which is unknown"),
        ("{% for x in a %}{% for y in a %}{% for z in a %}{% endfor %}{% endfor %}{% endfor %}",
         "more than 2 loops"),
        ("{% for x in a recursive %}{{ loop(a) }}{% endfor %}", "more than 2 loops"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "a macro"),
        ("{{ a | center(99999999) }}", "cannot be read"),
        ("{% if %}", "cannot be read"),
        ("x" * 10_001, "more than 10000 characters"),
    ],
)  # fmt: skip
def test_what_could_run_long_or_is_not_known_is_a_problem(text: str, says: str) -> None:
    assert says in (templates.problem(text, KNOWN) or "")


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 999999999 }}", "{{ a * 999999999 }}", "{{ 9 ** 99999999 }}",
        "{{ '%999999999d' % 1 }}", "{{ 'x'.center(999999999) }}", "{{ 'x'.ljust(999999999) }}",
        "{{ '{:999999999}'.format(1) }}", "{{ a.__class__ }}",
    ],
)  # fmt: skip
def test_what_could_grow_large_is_refused_when_it_is_made(text: str) -> None:
    with pytest.raises(SecurityError):
        templates.render(text, {"a": ["x"], "b": ""})
