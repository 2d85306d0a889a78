"""The files that docs/deploy shows can be read, and agree with each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def test_the_compose_file_starts_the_replicas_that_nginx_leads_to() -> None:
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    nginx = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    served = {name for name in told["services"] if name.startswith("replica-")}
    assert set(re.findall(r"server (replica-\d):8501", nginx)) == served
    assert "listen 8080;" in nginx
    for name in served:
        (volume,) = told["services"][name]["volumes"]
        assert volume.partition(":")[0] in told["volumes"]
        assert volume.partition(":")[2] == told["services"][name]["environment"]["STGUARD_STATE"]


def test_the_manifest_names_one_app_and_keeps_its_state() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    assert [each["kind"] for each in documents] == ["Secret", "StatefulSet", "Service", "Ingress"]
    assert {each["metadata"]["name"] for each in documents} == {"reports-app"}
    secret, replicas, service, _ = documents
    (container,) = replicas["spec"]["template"]["spec"]["containers"]
    environ = {each["name"]: each["value"] for each in container["env"]}
    (mounted,) = container["volumeMounts"]
    assert environ["STGUARD_STATE"] == mounted["mountPath"]
    assert {"COOKIE_SECRET", "STGUARD_REDIS_URL"} <= secret["stringData"].keys()
    assert container["readinessProbe"]["httpGet"]["path"] == "/_stguard/health"
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
