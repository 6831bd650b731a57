"""Kubernetes manifests: valid by Kubernetes' own schemas, and true to the services' settings."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from alerts.settings import AlertsSettings
from cli.stack import SERVICES
from router.settings import RouterSettings
from status.settings import StatusSettings
from transport.settings import KafkaSettings, Settings

ROOT = Path(__file__).parents[2]
VERSION = "1.34"
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "deploy/kubernetes/davylamp.yaml").read_text(encoding="utf-8"))
)
TABLES: dict[str, type[Settings]] = {
    "KAFKA": KafkaSettings,
    "ROUTER": RouterSettings,
    "STATUS": StatusSettings,
    "ALERTS": AlertsSettings,
}


def name(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pods() -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in MANIFESTS if "template" in m.get("spec", {})}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_a_manifest_is_valid_by_kubernetes_own_schema(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_service_runs_as_up_runs_it() -> None:
    ours = {service: pod["containers"][0]["command"] for service, pod in pods().items() if service != "topics"}
    assert ours == {service: ["davylamp", "run", service] for service in SERVICES}


def test_nobody_is_root_and_nobody_can_become_it() -> None:
    for pod in pods().values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert all(c["securityContext"]["allowPrivilegeEscalation"] is False for c in pod["containers"])


def test_every_variable_is_a_setting_of_its_service() -> None:
    config = next(m for m in MANIFESTS if m["kind"] == "ConfigMap")["data"]
    given = [v["name"] for pod in pods().values() for c in pod["containers"] for v in c.get("env", [])]
    assert given
    for variable in (*config, *given):
        _, table, field = variable.split("_", 2)
        assert field.lower() in TABLES[table].model_fields, variable


def test_a_service_that_keeps_something_has_a_volume_where_its_setting_points() -> None:
    for service in ("router", "alerts"):
        container = pods()[service]["containers"][0]
        folder = next(v["value"] for v in container["env"] if v["name"] == f"DAVYLAMP_{service.upper()}_DATA_FOLDER")
        assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_replicas_that_sign_sessions_share_the_key_and_need_no_disk() -> None:
    container = pods()["status"]["containers"][0]
    key = next(v for v in container["env"] if v["name"] == "DAVYLAMP_STATUS_SESSION_KEY")
    assert key["valueFrom"]["secretKeyRef"] == {"name": "davylamp-people", "key": "session-key"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
