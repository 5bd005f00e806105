"""LiteLLM's database: whether it is told of one, found where LiteLLM looks for it.

Its configuration counts before its environment (litellm 1.80.16: proxy/proxy_cli.py, run_server).
"""

from signoff.kube.gateway_config import Configuration

VARIABLE = "DATABASE_URL"


def named_at(configuration: Configuration) -> str:
    """File and line of what names the database; empty where nothing does."""
    said = configuration.get("general_settings", "database_url")
    if said and (said.value or said.is_open):
        return said.where
    variable = configuration.environment.get(VARIABLE)
    return variable.where if variable and variable.value != "" else ""
