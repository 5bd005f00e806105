"""Secrets never reach the evidence."""

import re
from typing import Any

HIDDEN = "[redacted]"
_SECRET_KEYS = re.compile(r"(?i)^(authorization|.*api[-_]?key|.*token|.*password|.*secret|cookie|set-cookie)$")
_SECRET_TEXT = re.compile(r"\b(sk-[A-Za-z0-9_-]{8,}|(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,})")


def redacted(value: Any) -> Any:
    """A copy of a JSON value without credentials.

    >>> redacted({"api_key": "k", "body": "Authorization: Bearer abcdefgh123", "usage": {"total_tokens": 3}})
    {'api_key': '[redacted]', 'body': 'Authorization: [redacted]', 'usage': {'total_tokens': 3}}
    """
    if isinstance(value, dict):
        return {key: HIDDEN if _is_secret(key, item) else redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return _SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(value) and bool(_SECRET_KEYS.match(key))
