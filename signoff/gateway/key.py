"""The master key that LiteLLM will ask of its clients, found where LiteLLM looks for it.

Its configuration counts before its environment, also where that says null, which asks for no key; and
`environment_variables` there count before those of the container (litellm 1.80.16: proxy/proxy_server.py, load_config).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from signoff.core.errors import UsageError
from signoff.core.redact import hide
from signoff.core.yaml_lines import Path, lines_of, nearest_line
from signoff.kube import secrets
from signoff.kube.manifests import StoryManifests
from signoff.kube.objects import Manifest, main_containers
from signoff.traffic.keys import GATEWAY, Keys

VARIABLE = "LITELLM_MASTER_KEY"
_SETTINGS, _MASTER_KEY = "general_settings", "master_key"
_VARIABLES = "environment_variables"
_REFERENCE = "os.environ/"


@dataclass(frozen=True)
class MasterKey:
    """LiteLLM's key and where it is set; `value` is None where nobody can read off the manifests what it is.

    `comes_from` is the object that the place names, such as "Secret/litellm-secrets"; empty where it says the key.
    """

    value: str | None = field(repr=False)
    where: str
    comes_from: str = ""


_Variables = Mapping[str, MasterKey]


def find(
    gateway: Manifest, config: tuple[Manifest, str] | None, found: Sequence[Manifest], container: str = ""
) -> MasterKey | None:
    """The key of the LiteLLM that a workload runs; None where clients need none. It is written nowhere from then on.

    `config` is the ConfigMap with LiteLLM's configuration, and the key of that in it. `found` holds what the workload
    refers to: Secrets and ConfigMaps, those of files as well. `container` is LiteLLM's, if not the first of the pods'.
    """
    key = _found(gateway, config, found, container)
    if key is None or key.value == "":
        return None
    if key.value:
        hide(key.value)
    return key


def _found(
    gateway: Manifest, config: tuple[Manifest, str] | None, found: Sequence[Manifest], container: str
) -> MasterKey | None:
    variables = dict(_variables(gateway, found, container))
    if config is None:
        return variables.get(VARIABLE)
    told, line = _read(*config)
    table = told.get(_VARIABLES)
    for name, value in table.items() if isinstance(table, dict) else ():
        said = _said(value, f"{config[0].file}:{line((_VARIABLES, name))}", variables)
        if said is not None:
            variables[str(name)] = said
    settings = told.get(_SETTINGS)
    if not isinstance(settings, dict) or _MASTER_KEY not in settings:
        return variables.get(VARIABLE)
    return _said(settings[_MASTER_KEY], f"{config[0].file}:{line((_SETTINGS, _MASTER_KEY))}", variables)


def _said(value: Any, where: str, variables: _Variables) -> MasterKey | None:
    """What a value of the configuration says: itself, or what a variable holds."""
    if value is None:
        return None
    if not str(value).startswith(_REFERENCE):
        return MasterKey(str(value), where)
    meant = variables.get(str(value).removeprefix(_REFERENCE))
    return MasterKey(meant.value, where, meant.comes_from or meant.where) if meant else None


def _read(manifest: Manifest, key: str) -> tuple[dict[str, Any], Any]:
    """The configuration, and what tells the line of the file at which a place of it stands."""
    text = manifest.body.get("data", {}).get(key, "")
    try:
        told, lines = yaml.safe_load(text), lines_of(yaml.compose(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        told, lines = None, {}
    first = manifest.line("data", key)
    return told if isinstance(told, dict) else {}, lambda place: first + nearest_line(lines, place)


def _variables(gateway: Manifest, found: Sequence[Manifest], name: str) -> Mapping[str, MasterKey]:
    """The environment of LiteLLM's container: `env` counts before `envFrom`, and the later one before the earlier."""
    held = {each.name: each for each in found if each.body["kind"] in ("Secret", "ConfigMap")}
    root: Path = ("spec",) if gateway.body["kind"] == "Pod" else ("spec", "template", "spec")
    several = list(enumerate(main_containers(gateway.body) or [{}]))
    index, container = next((each for each in several if each[1].get("name") == name), several[0])
    known: dict[str, MasterKey] = {}
    for at, source in enumerate(container.get("envFrom") or []):
        where = f"{gateway.file}:{gateway.line(*root, 'containers', index, 'envFrom', at)}"
        for name, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if isinstance(wanted := source.get(name), dict):
                own = f"{kind}/{wanted.get('name')}"
                for key, value in _held(held.get(own)).items():
                    known[f"{source.get('prefix', '')}{key}"] = MasterKey(value, where, own)
    for at, variable in enumerate(container.get("env") or []):
        where = f"{gateway.file}:{gateway.line(*root, 'containers', index, 'env', at)}"
        if own_value := _value(variable, where, held):
            known[str(variable.get("name"))] = own_value
    return known


def _value(variable: Mapping[str, Any], where: str, held: Mapping[str, Manifest]) -> MasterKey | None:
    source = variable.get("valueFrom") or {}
    for name, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if isinstance(wanted := source.get(name), dict):
            own = f"{kind}/{wanted.get('name')}"
            value = _held(held.get(own)).get(str(wanted.get("key")))
            return None if value is None and wanted.get("optional") else MasterKey(value, where, own)
    text = str(variable.get("value", ""))
    return MasterKey(None if source or "$(" in text else text, where)


def _held(manifest: Manifest | None) -> dict[str, str]:
    if manifest is None:
        return {}
    if manifest.body["kind"] == "Secret":
        return {key: value.decode(errors="replace") for key, value in secrets.values(manifest.body).items()}
    return {str(key): str(value) for key, value in manifest.body.get("data", {}).items()}


def keys_of(manifests: StoryManifests) -> Keys:
    """What clients ask both sides with: the key that was given, else LiteLLM's master key; vLLM's of the environment.

    Raises:
        UsageError: LiteLLM asks for a key which the manifests do not hold, or a header cannot hold one.
    """
    given = manifests.settings.api_key.get_secret_value()
    backend = Keys.from_environment().backend
    if given:
        hide(given)
        return Keys(given, backend)
    found = {each.name: each for each in manifests.gateway}
    roles = manifests.roles
    config = found[roles.config.object], roles.config.key
    master = find(found[roles.gateway.object], config, manifests.gateway, roles.gateway.container)
    if master is None:
        return Keys(backend=backend)
    if master.value is None:
        raise UsageError(
            "LiteLLM asks its clients for a key, and the manifests do not say which",
            where=master.where,
            hint=f"set {GATEWAY}, or give the Secret that holds it with {secrets.OPTION} NAME=FILE.env",
        )
    return Keys(master.value, backend)
