"""Monitoring: the rules are tried by promtool, and everything names metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from receiver.alarms import AlarmKind
from receiver.events import Verdict
from receiver.metrics import CAUSES, REFUSALS, RELOADS
from tests.house.test_reference import metrics_shown
from tests.support.deployed import DEPLOY
from tests.support.live import live
from tests.support.tools import said, tool

FOLDER = DEPLOY / "monitoring"
RULES, TESTS = FOLDER / "receiver.rules.yml", FOLDER / "receiver.rules.test.yml"
# Of Prometheus itself, and of the node exporter.
ELSEWHERE = {
    "up", "ALERTS", "node_filesystem_avail_bytes", "node_filesystem_size_bytes",
    "node_systemd_unit_state", "node_systemd_timer_last_trigger_seconds",
}  # fmt: skip
# The troubles that the rules have to see: each a name of a rule.
TROUBLES = {
    "ReceiverNotScraped", "ReceiverDestinationFails", "ReceiverSourceQuiet",
    "ReceiverSignaturesFail", "ReceiverRulesNotRead", "ReceiverCannotStore", "ReceiverDiskFills",
    "ReceiverBackupFails",
}  # fmt: skip


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """The queries of the rules and of the dashboard."""
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + shown


def labels_of() -> dict[str, set[str]]:
    """The metrics of the program, with their labels."""
    return {name: set(labels) for name, *labels in map(str.split, metrics_shown())}


def strange(query: str) -> set[str]:
    """What a query asks for that there is not: metrics, labels, values of labels."""
    known = labels_of()
    found: set[str] = set()
    values: dict[str, set[str]] = {
        "alarm": {kind.value for kind in AlarmKind}, "verdict": set(map(str, Verdict)),
        "cause": {*CAUSES, *REFUSALS}, "result": set(RELOADS),
    }  # fmt: skip
    for name, braces in re.findall(r"\b((?:receiver|node|up)\w*)\b(?:\{([^}]*)\})?", query):
        if name not in known:
            found |= {name} - ELSEWHERE
            continue
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', braces):
            found |= {label} - known[name]
            found |= {value} - values.get(label, {value})
    bare = re.sub(r'"[^"]*"', "", query)
    names = {name for name in known if re.search(rf"\b{name}\b", query)}
    for group in re.findall(r"\bby \(([^)]*)\)", bare):
        asked = {each.strip() for each in group.split(",")}
        found |= asked - set().union(*(known[name] for name in names)) - {"instance", "job"}
    return found


def test_every_query_names_metrics_and_labels_that_there_are() -> None:
    assert {query: strange(query) for query in queries() if strange(query)} == {}
    assert len(queries()) >= 20
    for wrong in ('receiver_alarms == 1', 'receiver_alarm{alarm="destinations"}',
                  "sum by (status) (receiver_alarm)", 'receiver_alarm{kind="reload"}'):  # fmt: skip
        assert strange(wrong), wrong


def test_there_is_a_rule_for_each_trouble_and_it_says_what_to_look_at() -> None:
    named = {rule["alert"]: rule for rule in rules()}
    assert set(named) >= TROUBLES
    tried = TESTS.read_text("utf-8")
    for name, rule in named.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert name in tried, name


def test_every_kind_of_alarm_has_a_rule() -> None:
    """The one about signatures has a rule of its own: it counts the answers of 401."""
    named = set(re.findall(r'alarm="([a-z_]+)"', " ".join(rule["expr"] for rule in rules())))
    assert named == {kind.value for kind in AlarmKind} - {AlarmKind.SIGNATURES.value}


def test_the_rules_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    promtool = tool("promtool")
    assert said([promtool, "test", "rules", TESTS])[0] == 0
    shutil.copy(TESTS, tmp_path)
    planted = RULES.read_text("utf-8").replace('up{job="receiver"} == 0 or ', "")
    assert planted != RULES.read_text("utf-8")
    (tmp_path / RULES.name).write_text(planted, "utf-8")
    assert said([promtool, "test", "rules", tmp_path / TESTS.name])[0] != 0


def test_the_queries_of_the_dashboard_and_the_scrape_are_read_by_prometheus(
    tmp_path: Path,
) -> None:
    promtool = tool("promtool")
    records = [{"record": f"shown:{n}", "expr": query} for n, query in enumerate(queries())]
    file = tmp_path / "shown.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": records}]}), "utf-8")
    code, words = said([promtool, "check", "rules", file])
    assert code == 0, words
    assert said([promtool, "check", "config", "--syntax-only", FOLDER / "prometheus.yml"])[0] == 0
    (scrape,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert scrape["authorization"]["credentials_file"]
    assert all(f'job="{scrape["job_name"]}"' in q for q in queries() if "up{" in q)


def test_what_is_scraped_is_what_prometheus_reads(tmp_path: Path) -> None:
    promtool = tool("promtool")
    token = "a-token-for-the-scrape"
    with live(tmp_path, api_token=token) as running:
        assert running.post(b"{}")[0] in (200, 422)
        # By a pod's address: any Host is fine with the token.
        headers = {"Authorization": f"Bearer {token}", "Host": "10.1.2.3:8000"}
        request = urllib.request.Request(f"{running.url}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
