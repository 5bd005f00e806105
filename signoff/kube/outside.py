"""What a copy of LiteLLM goes without: a database, and whatever else it would read from or write to beyond its pods.

With a database, LiteLLM changes its tables when it starts; with a cache or callbacks, what a copy answers is found or
counted elsewhere. So a copy has none of them, on any cluster. Names of litellm 1.80.16: proxy/proxy_cli.py,
proxy/proxy_server.py (load_config), _redis.py, router.py.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from signoff.kube.objects import Manifest
from signoff.kube.variables import OF_ALL_KEYS, OF_ONE_KEY, held_in

_TABLES = ("general_settings", "litellm_settings", "router_settings")
_VARIABLES = "environment_variables"
_SETTING = re.compile(
    r"database_|.*_in_db$|supported_db_objects|.*redis|.*callback|cache(_|$)|alert|spend_report|use_shared_health_check"
)
"""Of the tables of a configuration."""
_CALLBACKS = "callback_settings"
_VARIABLE = re.compile(
    r"DATABASE_|DIRECT_URL$|IAM_TOKEN_DB_AUTH$|STORE_MODEL_IN_DB$|STORE_PROMPTS_IN_SPEND_LOGS$|SPEND_LOGS_URL$"
    r"|PG(HOST|USER|PASSWORD|DATABASE)|POSTGRES|.*REDIS|QDRANT_|LITELLM_CONFIG_BUCKET_|S3_|GCS_|PUBSUB_|OTEL_|DD_|DATADOG_"
    r"|(LANGFUSE|LANGSMITH|LANGCHAIN|LANGTRACE|HELICONE|SENTRY|ARIZE|PHOENIX|LUNARY|BRAINTRUST|WANDB|MLFLOW|OPIK)_"
    r"|(LOGFIRE|ATHINA|GALILEO|PROMPTLAYER|SUPABASE|LAGO|OPENMETER|TRACELOOP|HUMANLOOP|GREENSCALE|ARGILLA|DEEPEVAL)_"
    r"|(SLACK|SMTP|SENDGRID|RESEND|PAGERDUTY)_"
)
"""Of LiteLLM's environment."""
_STORE = re.compile(r"(postgres(ql)?|mysql|mongodb|rediss?)(\+\w+)?://")
"""The URL of a store, whatever the variable is called that holds it."""
_PREPARES = re.compile(r"(?i)DATABASE_URL|prisma|migrat|pg_isready|postgres|redis")
"""What an init container speaks of that waits for a store, or changes one."""
_LOCAL = ("local", "disk")


def without_settings(config: dict[str, Any]) -> list[str]:
    """Take it out of a configuration; gives what was taken out, by its place."""
    found = []
    for name in _TABLES:
        table = _table(config, name)
        local = _is_local(table)
        for key in [key for key, value in table.items() if value and _SETTING.match(str(key))]:
            if not (local and str(key).startswith("cache")):
                del table[key]
                found.append(f"{name}.{key}")
    if config.pop(_CALLBACKS, None):
        found.append(_CALLBACKS)
    variables = _table(config, _VARIABLES)
    for key in [key for key, value in variables.items() if _leads_outside(str(key), str(value))]:
        del variables[key]
        found.append(f"{_VARIABLES}.{key}")
    return found


def _table(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _is_local(settings: Mapping[str, Any]) -> bool:
    """Whether the cache is within the pod."""
    told = settings.get("cache_params")
    return isinstance(told, dict) and told.get("type") in _LOCAL


def without_variables(pods: dict[str, Any], found: Mapping[str, Manifest]) -> list[str]:
    """Take it out of the spec of pods; gives what was taken out. `found` are ConfigMaps and Secrets by kind and name.

    What `envFrom` names is given variable by variable, since it would bring along whatever is written there later; of
    what nobody may read, nothing is given.
    """
    taken: list[str] = []
    kept = [each for each in pods.get("initContainers") or [] if not _prepares(each)]
    if "initContainers" in pods:
        out = [each for each in pods["initContainers"] if each not in kept]
        taken += [f"the init container {each.get('name')}" for each in out]
        pods["initContainers"] = kept
    for container in (*kept, *pods.get("containers", [])):
        every = [*_each_of_all(container, found, taken), *container.get("env", [])]
        container.pop("envFrom", None)
        env = []
        for variable in every:
            name = str(variable.get("name", ""))
            if _leads_outside(name, _value(variable, found)):
                taken.append(name)
            else:
                env.append(variable)
        if env or "env" in container:
            container["env"] = env
    return list(dict.fromkeys(taken))


def _prepares(container: Mapping[str, Any]) -> bool:
    words = [*container.get("command", []), *container.get("args", [])]
    names = [str(each.get("name", "")) for each in container.get("env", [])]
    return any(map(_PREPARES.search, map(str, words))) or any(map(_VARIABLE.match, names))


def _leads_outside(name: str, value: str) -> bool:
    return bool(_VARIABLE.match(name) or _STORE.match(value))


def _each_of_all(
    container: Mapping[str, Any], found: Mapping[str, Manifest], taken: list[str]
) -> Iterator[dict[str, Any]]:
    """The variables that `envFrom` gives, the later ones of a name alone, each by the key that holds it."""
    given: dict[str, dict[str, Any]] = {}
    for source in container.get("envFrom") or []:
        for (field, kind), (of_key, _) in zip(OF_ALL_KEYS, OF_ONE_KEY, strict=True):
            if not isinstance(wanted := source.get(field), dict):
                continue
            name = f"{kind}/{wanted.get('name')}"
            if name not in found:
                taken.append(f"all of {name}, which is not known")
                continue
            for key in held_in(found[name]):
                variable = f"{source.get('prefix', '')}{key}"
                given[variable] = {
                    "name": variable,
                    "valueFrom": {of_key: {"name": wanted.get("name"), "key": key}},
                }
    own = {str(each.get("name")) for each in container.get("env", [])}
    yield from (each for name, each in given.items() if name not in own)


def _value(variable: Mapping[str, Any], found: Mapping[str, Manifest]) -> str:
    """What a variable holds, as far as that is known."""
    source = variable.get("valueFrom") or {}
    for field, kind in OF_ONE_KEY:
        if isinstance(wanted := source.get(field), dict):
            holder = found.get(f"{kind}/{wanted.get('name')}")
            return held_in(holder).get(str(wanted.get("key")), "") if holder else ""
    return str(variable.get("value") or "")
