"""The master key that LiteLLM will ask of its clients, found where LiteLLM looks for it.

Its configuration counts before its environment, also where that says null, which asks for no key; without
`general_settings` it takes the key that its environment had when it started. With them, what `environment_variables`
set counts before the container's own (litellm 1.80.16: proxy/proxy_server.py, proxy_startup_event and load_config).
"""

from signoff.core.errors import UsageError
from signoff.core.redact import hide
from signoff.kube.gateway_config import Configuration
from signoff.kube.manifests import StoryManifests
from signoff.kube.secrets import OPTION
from signoff.kube.variables import Variable
from signoff.traffic.keys import GATEWAY, Keys

VARIABLE = "LITELLM_MASTER_KEY"
_SETTINGS, _MASTER_KEY = "general_settings", "master_key"
_VARIABLES = "environment_variables"


def find(configuration: Configuration) -> Variable | None:
    """The key that LiteLLM asks for, and where it is set; None where clients need none.

    It is written nowhere from then on. Its `value` is None where nobody can read off the manifests what it is.
    """
    key = _found(configuration)
    if key is None or key.value == "":
        return None
    if key.value:
        hide(key.value)
    return key


def _found(configuration: Configuration) -> Variable | None:
    settings = configuration.table(_SETTINGS)
    if _MASTER_KEY in settings:
        return _said(configuration, _SETTINGS, _MASTER_KEY)
    own = _said(configuration, _VARIABLES, VARIABLE) if settings else None
    return own or configuration.environment.get(VARIABLE)


def _said(configuration: Configuration, *place: str) -> Variable | None:
    """What the configuration says there: itself, or what a variable holds; None for one that is not set."""
    found = configuration.get(*place)
    if found is None or (found.value is None and not found.comes_from):
        return None
    return Variable(None if found.value is None else str(found.value), found.where, found.comes_from)


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
    master = find(manifests.roles.configuration)
    if master is None:
        return Keys(backend=backend)
    if master.value is None:
        raise UsageError(
            "LiteLLM asks its clients for a key, and the manifests do not say which"
            if manifests.source.folder
            else "LiteLLM asks its clients for a key, and the Secret that holds it may not be read",
            where=master.where,
            hint=f"set {GATEWAY}, or give the Secret that holds it with {OPTION} NAME=FILE.env",
        )
    return Keys(master.value, backend)
