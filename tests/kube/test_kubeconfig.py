"""A kubeconfig whose keys lie in files of its folder, so that no client writes them elsewhere."""

import base64
from pathlib import Path

import pytest
import yaml
from kubernetes import config
from kubernetes.config import kube_config

from signoff.kube.kubeconfig import hold_in_files


def test_what_it_holds_goes_into_files_that_only_this_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority-data": held("ca")}
    user = {"client-certificate-data": held("cert"), "client-key-data": held("key")}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "kind-a", "cluster": cluster}],
                "users": [{"name": "kind-a", "user": user}],
                "contexts": [{"name": "kind-a", "context": {"cluster": "kind-a", "user": "kind-a"}}],
                "current-context": "kind-a",
            }
        )
    )
    hold_in_files(kubeconfig)
    hold_in_files(kubeconfig)  # as where it was done before
    assert "data" not in kubeconfig.read_text()
    assert (tmp_path / "client-key.pem").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(kube_config, "_create_temp_file_with_content", None)  # nothing is written by the client
    found = config.new_client_from_config(str(kubeconfig)).configuration
    files = [Path(each).read_text() for each in (found.ssl_ca_cert, found.cert_file, found.key_file)]
    assert files == ["ca", "cert", "key"]
