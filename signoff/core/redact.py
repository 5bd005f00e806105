"""Secrets never reach the evidence."""

import re
from typing import Any

HIDDEN = "[redacted]"
_SECRET = r"(?:api|master|salt|secret|private|access|signing)[-_]?key|token|passw(?:or)?d|secret|credentials?"
_SECRET_KEYS = re.compile(rf"(?i)(?:authorization|cookie|set-cookie|.*(?:{_SECRET}))")
_SECRET_TEXT = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{8,}|(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,})")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_ASSIGNED = re.compile(rf"(?i)([\w-]*(?:{_SECRET})[\"']?(?:=|:\s?))([\"']?)([^\s\"',;&]{{4,}})")


def redacted(value: Any) -> Any:
    """A copy of a JSON value without credentials, the values of a container's environment included.

    >>> redacted({"api_key": "k", "body": "Authorization: Bearer abcdefgh123", "usage": {"total_tokens": 3}})
    {'api_key': '[redacted]', 'body': 'Authorization: [redacted]', 'usage': {'total_tokens': 3}}
    >>> redacted({"env": [{"name": "LITELLM_MASTER_KEY", "value": "hush"}, {"name": "HOME", "value": "/tmp"}]})
    {'env': [{'name': 'LITELLM_MASTER_KEY', 'value': '[redacted]'}, {'name': 'HOME', 'value': '/tmp'}]}
    """
    if isinstance(value, dict):
        if _is_secret(value.get("name"), value.get("value")):
            value = {**value, "value": HIDDEN}
        return {key: HIDDEN if _is_secret(key, item) else redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if not isinstance(value, str):
        return value
    return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", _SECRET_TEXT.sub(HIDDEN, value))


def redacted_log(text: str) -> str:
    """A log or a command line without credentials: also what is assigned to a name that says that it is one.

    >>> redacted_log("started with --api-key=hush-hush and DB_PASSWORD: 'swordfish'; 3 tokens: 1024")
    "started with --api-key=[redacted] and DB_PASSWORD: '[redacted]'; 3 tokens: 1024"
    """
    return _ASSIGNED.sub(rf"\1\2{HIDDEN}", redacted(text))


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(value) and bool(_SECRET_KEYS.fullmatch(key))
