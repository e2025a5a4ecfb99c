"""Kubernetes' manifests: valid, restricted, and of settings that exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deployed import DEPLOY, check_variables
from tests.support.tools import said, tool

FILES = {name: DEPLOY / "kubernetes" / f"{name}.yaml" for name in ("sqlite", "postgres")}


def objects(name: str, kind: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(FILES[name].read_text("utf-8"))
    return [each for each in documents if each["kind"] == kind]


def pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each deployment with its name, its specification and that of its pods."""
    for name in FILES:
        for each in objects(name, "Deployment"):
            spec = each["spec"]
            yield f"{name}/{each['metadata']['name']}", spec, spec["template"]["spec"]


def test_they_are_valid_strictly(tmp_path: Path) -> None:
    validate = [tool("kubernetes-validate"), "--strict", "--quiet"]
    code, words = said([*validate, *FILES.values()])
    assert code == 0, words
    broken = tmp_path / "broken.yaml"
    text = FILES["sqlite"].read_text("utf-8").replace("enableServiceLinks", "enableServiceLink")
    broken.write_text(text, "utf-8")
    assert said([*validate, broken])[0] != 0


def test_every_variable_is_a_setting_and_every_file_of_a_secret_is_mounted() -> None:
    for name, _, pod in pods():
        (container,) = pod["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        settings = check_variables(variables)
        assert settings.public_url, name
        mounts = [each["mountPath"] for each in container["volumeMounts"]]
        files = [value for key, value in variables.items() if key.endswith("_FILE")]
        assert all(any(file.startswith(f"{path}/") for path in mounts) for file in files), name
        assert {each["name"] for each in container["volumeMounts"]} == {
            each["name"] for each in pod["volumes"]
        }
        assert "/etc/receiver" in mounts


def test_the_pods_are_restricted_and_know_no_services() -> None:
    for name, _, pod in pods():
        (container,) = pod["containers"]
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        for file in FILES:
            (namespace,) = objects(file, "Namespace")
            labels = namespace["metadata"]["labels"]
            assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_probes_ask_what_there_is_and_the_end_has_its_time() -> None:
    paths = {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    for name, _, pod in pods():
        (container,) = pod["containers"]
        for probe, path in paths.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}, name
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= before + 25


def test_a_file_is_served_by_one_pod_at_a_time() -> None:
    (found,) = objects("sqlite", "Deployment")
    (claim,) = objects("sqlite", "PersistentVolumeClaim")
    assert found["spec"]["replicas"] == 1
    assert found["spec"]["strategy"] == {"type": "Recreate"}
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert objects("sqlite", "PodDisruptionBudget") == []


def test_with_postgresql_some_take_webhooks_and_others_send() -> None:
    receiver, work = objects("postgres", "Deployment")
    commands = [
        each["spec"]["template"]["spec"]["containers"][0]["args"] for each in (receiver, work)
    ]
    assert commands == [["serve", "--no-dispatch"], ["work"]]
    assert receiver["spec"]["replicas"] == 3
    budgets = objects("postgres", "PodDisruptionBudget")
    for deployment, budget in zip((receiver, work), budgets, strict=True):
        selected = budget["spec"]["selector"]
        assert selected == deployment["spec"]["selector"]
        assert budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]


@pytest.mark.parametrize("name", list(FILES))
def test_the_service_and_the_policy_lead_to_the_pods_that_take_webhooks(name: str) -> None:
    deployment = objects(name, "Deployment")[0]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (service,) = objects(name, "Service")
    (policy,) = objects(name, "NetworkPolicy")
    assert service["spec"]["selector"] == labels
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ports = {each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]}
    assert (5432 in ports) == (name == "postgres")
    (ingress,) = objects(name, "Ingress")
    paths = {
        rule["host"]: [path["path"] for path in rule["http"]["paths"]]
        for rule in ingress["spec"]["rules"]
    }
    assert paths == {"hooks.example.org": ["/webhooks/"],
                     "receiver.example.org": ["/take/", "/static/"]}  # fmt: skip
