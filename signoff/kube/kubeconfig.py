"""What a kubeconfig holds itself, moved into files of its folder."""

import base64
from pathlib import Path
from typing import Any

import yaml

from signoff.core.paths import write_private

_HELD = (
    ("clusters", "cluster", "certificate-authority"),
    ("users", "user", "client-certificate"),
    ("users", "user", "client-key"),
)


def hold_in_files(kubeconfig: Path) -> None:
    """Have a kubeconfig of one cluster name the files of its certificates and key, which then lie beside it.

    Kubernetes' Python client writes what a kubeconfig holds itself into the temporary folder, where a run that is
    killed leaves it: a private key that nobody sweeps. A cluster's own folder is swept.
    """
    config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    for entries, kind, name in _HELD:
        for entry in config[entries]:
            if held := entry[kind].pop(f"{name}-data", None):
                file = kubeconfig.with_name(f"{name}.pem")
                write_private(file, base64.b64decode(held))
                entry[kind][name] = file.name
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
