"""Pictures of the pages: `python -m tests.pictures FOLDER`, for people to look at.

Each page on an empty and on a small store, on a phone and on a large screen, in light and dark;
with `--store FOLDER` also on the receiver.db there, which `bench_pages` can grow. Exit code 1 if a
page is wider than its screen. Needs Chromium and the `browser` extra.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser.test_pages import CHROMIUM, DESKTOP, PHONE
from tests.support.live import Live, live
from tests.support.visited import ADDRESSES, ROUTES, sown

LISTS = tuple(path for path in ADDRESSES if path.count("/") == 1)
MORE = ("/nowhere", "/events/99999", "/executions?q=nobody")


@contextmanager
def browser() -> Iterator[Any]:
    """Run a browser without a window."""
    from playwright import sync_api

    with sync_api.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def take(
    opened: Any, receiver: Live, addresses: Sequence[str], folder: Path, name: str
) -> Iterator[Path]:
    """Take a picture of each page; yield those of pages that are wider than the screen."""
    for size in (PHONE, DESKTOP):
        for scheme in ("light", "dark"):
            context = opened.new_context(base_url=receiver.url, viewport=size, color_scheme=scheme)
            page = context.new_page()
            for address in addresses:
                page.goto(address)
                words = re.sub(r"\W+", "-", address).strip("-") or "now"
                picture = folder / f"{name}-{words}-{size['width']}-{scheme}.png"
                page.screenshot(path=picture, full_page=True)
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    yield picture
            context.close()


def main() -> None:
    """Take the pictures, and name those of pages that are too wide."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("folder", type=Path, help="Where to put them.")
    parser.add_argument("--store", type=Path, help="A folder with a receiver.db.")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        empty, small = Path(folder, "empty"), Path(folder, "small")
        empty.mkdir()
        small.mkdir()
        with live(empty, ROUTES) as receiver:
            wide = [*take(opened, receiver, LISTS, given.folder, "empty")]
        with sown(small) as receiver:
            wide += take(opened, receiver, (*ADDRESSES, *MORE), given.folder, "small")
        if given.store is not None:
            with live(given.store, ROUTES) as receiver:
                wide += take(opened, receiver, LISTS, given.folder, "large")
    print("\n".join(f"wider than its screen: {picture}" for picture in wide))
    sys.exit(1 if wide else 0)
