"""Sources that would ask one provider about the same executions."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.config.routes_file import load

SOURCE = """\
  {name}:
    verify: {{scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}}
    agents: [{agents}]
    api: {{key: {key}, base_url: "https://api.example.org"}}
    reconcile: {reconcile}
"""


@pytest.mark.parametrize(
    ("first", "second", "is_warned"),
    [
        (("", "key-one"), ("", "key-one"), True),
        (("a, b", "key-one"), ("b, c", "key-one"), True),
        (("a", "key-one"), ("", "key-one"), True),
        (("a", "key-one"), ("b", "key-one"), False),
        (("", "key-one"), ("", "key-two"), False),
    ],
)
def test_sources_that_ask_with_one_key_are_warned_of(
    tmp_path: Path, first: tuple[str, str], second: tuple[str, str], *, is_warned: bool
) -> None:
    parts = [
        SOURCE.format(name=name, agents=agents, key=key, reconcile="{every: 1m}")
        for name, (agents, key) in (("one", first), ("two", second))
    ]
    path = tmp_path / "routes.yaml"
    path.write_text("sources:\n" + "".join(parts), "utf-8")
    warned = [line for line in load(str(path), {}).warnings if "with the key of" in line]
    assert len(warned) == is_warned
    assert all("source two asks with the key of one" in line for line in warned)
    assert "key-one" not in "".join(warned)
