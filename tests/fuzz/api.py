"""`python -m tests.fuzz_api --examples 2000 --seed 7`: Schemathesis against /openapi.json.

It makes requests, fitting and unfitting, for everything that the description names, and holds the
answers against it. Needs the `test` extra. Exit code 0 if nothing was found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from receiver.cli import client
from tests.support.live import live

TOKEN = "a-token-of-sixteen-bytes-or-more"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method,response_headers_conformance,ignored_auth"
)


def run(folder: Path, parser: str, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Schemathesis against a server of its own, with a few executions and deliveries in it."""
    with live(folder, http=parser, api_token=TOKEN) as target:
        for number in range(3):
            target.post(client.asteroid_event("EXECUTION_FAILED", f"x-{number}"))
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{target.url}/openapi.json",
            "--header", f"Authorization: Bearer {TOKEN}", "--checks", CHECKS,
            "--max-examples", str(examples), "--seed", str(seed), "--no-color",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert target.store.ledger()["imbalance"] == 0
        assert target.store.ledger()["accepted"] == 3
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=2_000, help="for each address")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--http", default="h11", choices=["h11", "httptools"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receiver-fuzz-") as folder:
        done = run(Path(folder), given.http, given.examples, given.seed)
    print(done.stdout, done.stderr)
    sys.exit(done.returncode)
