"""LiteLLM's database: whether it is told of one, found where LiteLLM looks for it.

Its configuration counts before its environment (litellm 1.80.16: proxy/proxy_cli.py, run_server), in which the URL may
stand in parts (proxy/utils.py, construct_database_url_from_env_vars), or be made with a token of AWS.
"""

from signoff.kube.gateway_config import Configuration

VARIABLE = "DATABASE_URL"
_TOGETHER = (
    (VARIABLE,),
    ("DATABASE_HOST", "DATABASE_USERNAME", "DATABASE_NAME"),
    ("DIRECT_URL",),
)
"""The variables that name a database, each row with all that it takes to do so."""
_WITH_TOKEN = "IAM_TOKEN_DB_AUTH"


def named_at(configuration: Configuration) -> str:
    """File and line of what names the database; empty where nothing does."""
    said = configuration.get("general_settings", "database_url")
    if said and (said.value or said.is_open):
        return said.where
    for names in _TOGETHER:
        found = [variable for name in names if (variable := configuration.environment.get(name))]
        if len(found) == len(names) and all(each.value != "" for each in found):
            return found[0].where
    token = configuration.environment.get(_WITH_TOKEN)
    is_asked_for = token and (token.value is None or token.value.strip().lower() == "true")
    return token.where if token and is_asked_for else ""
