"""`python -m tests.services`: run every check of every service, and write the page anew."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from tests.services.described import SERVICES
from tests.services.table import PAGE, cells_of, page, row
from tests.support.standin import standing_in


def main() -> int:
    """Write the page; return 1 if a cell is wrong."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, standing_in(Path(folder)) as stand_in:
        cells = [(service, cells_of(service, stand_in)) for service in SERVICES]
    PAGE.write_text(page(row(*each) for each in cells), "utf-8")
    wrong = [
        f"{service.name}: {column}: {cell.shown}"
        for service, found in cells
        for column, cell in found.items()
        if not cell.is_right
    ]
    print("\n".join([*wrong, f"{PAGE}: {len(SERVICES)} services, {len(wrong)} cells are wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
