"""Kubernetes manifests: valid by Kubernetes' own schemas, and true to the services' settings."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from typer.testing import CliRunner

from alerts.settings import AlertsSettings
from cli.main import app
from cli.routers import DirectSettings
from cli.stack import SERVICES
from judge.app import JudgeSettings
from router.settings import RouterSettings
from router.tls import MutualTls, ServerTls
from status.settings import StatusSettings
from streams.app import StreamsSettings
from transport.acls import COMPONENTS
from transport.settings import KafkaSettings, Settings

ROOT = Path(__file__).parents[2]
VERSION = "1.34"
FOLDER = ROOT / "deploy/kubernetes"
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for file in ("topics.yaml", "davylamp.yaml")
    for manifest in yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8"))
]
HOWTO = (ROOT / "docs/howto/kubernetes.md").read_text(encoding="utf-8")
TABLES: dict[str, type[Settings]] = {
    "KAFKA": KafkaSettings,
    "STREAMS": StreamsSettings,
    "JUDGE": JudgeSettings,
    "ROUTER": RouterSettings,
    "STATUS": StatusSettings,
    "ALERTS": AlertsSettings,
    "DIRECT": DirectSettings,
}


def name(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pods() -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in MANIFESTS if "template" in m.get("spec", {})}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_a_manifest_is_valid_by_kubernetes_own_schema(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):  # else nothing was looked at
        kubernetes_validate.validate({**manifest, "spce": {}}, VERSION, strict=True)


def test_every_service_runs_as_up_runs_it() -> None:
    ours = {service: pod["containers"][0]["command"] for service, pod in pods().items() if service in SERVICES}
    assert ours == {service: ["davylamp", "run", service] for service in SERVICES}
    assert set(pods()) - set(SERVICES) == {"topics", "edge"}


def test_nobody_is_root_and_nobody_can_become_it() -> None:
    for pod in pods().values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        containers = [*pod["containers"], *pod.get("initContainers", ())]
        assert all(c["securityContext"]["allowPrivilegeEscalation"] is False for c in containers)


def test_every_variable_is_a_setting_of_its_service() -> None:
    config = next(m for m in MANIFESTS if m["kind"] == "ConfigMap")["data"]
    given = [v["name"] for pod in pods().values() for c in pod["containers"] for v in c.get("env", [])]
    assert "DAVYLAMP_KAFKA_SSL_CA" in text()
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


def test_every_service_is_a_principal_of_its_own_by_the_name_that_the_acls_give_it() -> None:
    """One that could log in as another could write the ledger."""
    for service in (*SERVICES, "topics"):
        container = pods()[service]["containers"][0]
        assert {"name": "DAVYLAMP_KAFKA_SASL_USERNAME", "value": f"davylamp-{service}"} in container["env"]
        secrets = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
        assert secrets == [f"davylamp-kafka-{service}"]
    assert set(SERVICES) <= set(COMPONENTS)
    got = CliRunner().invoke(app, ["kafka", "acls"])
    assert all(f"User:davylamp-{service} " in got.stdout for service in SERVICES)


def test_the_howto_names_every_secret_that_a_pod_wants() -> None:
    wanted = set(re.findall(r"(?:secretKeyRef|secretRef): {name: ([\w-]+)|secretName: ([\w-]+)", text()))
    assert {one or other for one, other in wanted} == set(re.findall(r"`(davylamp-[\w-]+)`", secrets_table()))
    assert set(re.findall(r"create secret generic (\S+)", HOWTO)) <= set(
        re.findall(r"`(davylamp-[\w-]+)`", secrets_table())
    )


def text() -> str:
    return "".join((FOLDER / file).read_text(encoding="utf-8") for file in ("topics.yaml", "davylamp.yaml"))


def secrets_table() -> str:
    return HOWTO.partition("| secret | keys |")[2].partition("\n\n")[0]


def test_what_envoy_starts_with_names_the_routers_and_the_files_of_its_pod() -> None:
    pod = pods()["edge"]
    (bootstrap,) = pod["initContainers"]
    made, _, file = bootstrap["command"][2].partition(" > ")
    got = CliRunner().invoke(app, shlex.split(made.replace("$POD", "edge-0"))[1:])
    assert got.exit_code == 0, got.output
    started = json.loads(got.stdout)
    assert started["node"]["id"] == "edge-0"
    (envoy,) = pod["containers"]
    assert envoy["command"][2] == file
    (listener,) = started["static_resources"]["listeners"]
    assert listener["address"]["socket_address"]["port_value"] == envoy["ports"][0]["containerPort"]
    mounts = [mount["mountPath"] for mount in envoy["volumeMounts"]]
    for path in (file, *re.findall(r'"filename": "([^"]+)"', got.stdout)):
        assert any(path.startswith(f"{mount}/") for mount in mounts), path
    hosts = re.findall(r'"address": "(router-\d\.[^"]+)"', got.stdout)
    direct = env("router", "DAVYLAMP_DIRECT_ROUTERS")["value"]
    assert hosts == [f"router-{i}.router.davylamp.svc.cluster.local" for i in range(replicas("router"))]
    assert direct == ",".join(f"https://{host}:18001" for host in hosts)


def env(service: str, variable: str) -> dict[str, Any]:
    found: dict[str, Any] = next(v for v in pods()[service]["containers"][0]["env"] if v["name"] == variable)
    return found


def replicas(name: str) -> int:
    (found,) = (
        m["spec"]["replicas"] for m in MANIFESTS if m["kind"] == "StatefulSet" and m["metadata"]["name"] == name
    )
    return int(found)


def test_the_howtos_certificates_name_every_router_and_every_proxy(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    (block,) = re.findall(r"```sh\n(openssl req.*?)```", HOWTO, re.DOTALL)
    subprocess.run(["sh", "-ec", block], cwd=tmp_path, check=True, capture_output=True)
    for name in ("router", "edge"):
        MutualTls(ServerTls(tmp_path / f"{name}.crt", tmp_path / f"{name}.key"), tmp_path / "ca.crt").check()
        said = x509.load_pem_x509_certificate((tmp_path / f"{name}.crt").read_bytes())
        said.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
        names = said.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
        assert [host.partition(".")[0] for host in found] == [f"{name}-{i}" for i in range(replicas(name))]


def test_prometheus_finds_the_port_where_every_service_tells_what_it_knows() -> None:
    config = next(m for m in MANIFESTS if m["kind"] == "ConfigMap")["data"]
    for service in sorted(set(SERVICES) - {"status"}):
        (template,) = (m["spec"]["template"] for m in MANIFESTS if name(m) == f"StatefulSet/{service}")
        port = config[f"DAVYLAMP_{service.upper()}_METRICS_PORT"]
        assert template["metadata"]["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": port}
        ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0]["ports"]}
        assert ports["metrics"] == int(port)
        assert config[f"DAVYLAMP_{service.upper()}_METRICS_HOST"] == "0.0.0.0"
