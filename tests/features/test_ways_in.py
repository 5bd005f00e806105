"""The way in by other kinds than the story's IngressRoute, from nothing to the verdict, by the same scenarios."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from signoff.core.paths import MANIFESTS, ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.prove]
SECONDS = 420
LABELS = "{app.kubernetes.io/name: litellm, app.kubernetes.io/part-of: home-lab}"
INGRESS = f"""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: litellm
  namespace: ml
  labels: {LABELS}
  annotations:
    cert-manager.io/cluster-issuer: letsencrypt-prod
    traefik.ingress.kubernetes.io/router.entrypoints: websecure
spec:
  ingressClassName: traefik
  tls: [{{hosts: [litellm.home.jetzinger.com], secretName: litellm-tls}}]
  rules:
    - host: litellm.home.jetzinger.com
      http:
        paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: litellm, port: {{number: 4000}}}}}}}}]
"""
HTTP_ROUTE = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: litellm, namespace: ml, labels: {LABELS}}}
spec:
  parentRefs: [{{name: home, namespace: edge, sectionName: https}}]
  hostnames: [litellm.home.jetzinger.com]
  rules:
    - matches: [{{path: {{type: PathPrefix, value: /}}}}]
      backendRefs: [{{name: litellm, port: 4000}}]
"""
WAY_IN = {"way-in", "plain-http", "unknown-host", "certificate"}


@pytest.mark.parametrize("objects", [INGRESS, HTTP_ROUTE], ids=["an Ingress", "an HTTPRoute"])
def test_the_scenarios_of_the_way_in_judge(objects: str, tmp_path: Path) -> None:
    manifests = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    (manifests / "litellm" / "ingressroute.yaml").write_text(objects)
    reports = tmp_path / "reports"
    where = ["--manifests", str(manifests), "--reports", str(reports), "--fresh-cluster"]
    command = [sys.executable, "-m", "pytest", "features/way_in.feature", *where, "-q"]
    env = {**os.environ, "SIGNOFF_TRUST": "yes"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    (run,) = reports.iterdir()
    checks = json.loads((run / "verdict.json").read_text())["checks"]
    own = {name: each for name, each in checks.items() if name in WAY_IN or name.startswith("ingress-")}
    wrong = {name: each["reason"] for name, each in own.items() if each["verdict"] not in ("passed", "outside reach")}
    assert wrong == {}, done.stdout
    assert set(own) > WAY_IN


def test_with_a_waiver_and_no_route_they_are_left_out_in_one_line(tmp_path: Path) -> None:
    manifests = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    (manifests / "litellm" / "ingressroute.yaml").unlink()
    kustomization = manifests / "kustomization.yaml"
    kustomization.write_text(re.sub(r".*ingressroute.*\n", "", kustomization.read_text()))
    where = ["--manifests", str(manifests), "--reports", str(tmp_path / "reports"), "--fresh-cluster"]
    command = [sys.executable, "-m", "pytest", "features/way_in.feature", *where, "--waive", "way-in=by hand", "-q"]
    env = {**os.environ, "SIGNOFF_TRUST": "yes"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    why = "the way in is waived, and no route leads to LiteLLM at litellm.home.jetzinger.com"
    told = [line for line in done.stdout.splitlines() if why in line and line.startswith("skipped ")]
    assert told == [f"skipped The host name leads to LiteLLM and 9 more: {why}"], done.stdout
    (run,) = (tmp_path / "reports").iterdir()
    checks = json.loads((run / "verdict.json").read_text())["checks"]
    assert {checks[name]["verdict"] for name in WAY_IN} == {"not judged"}
    assert all(checks[name]["waived"] for name in WAY_IN)
