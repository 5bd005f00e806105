"""A container's world, translated for a process of the host.

Names cannot be resolved and paths cannot be mounted without privileges, so both are replaced where a container
would read them: in its command, arguments, environment and mounted files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from signoff.cluster.embedded.address_range import first_port, served_port

ANY_ADDRESS = "0.0.0.0"
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SERVICE = re.compile(
    rf"(?<![\w.-])(?P<service>{_LABEL})\.(?P<namespace>{_LABEL})\.svc(?:\.cluster\.local\.?)?(?!\.?[\w-])"
)
_USER = r"[^\s/@\"']*@"
_OF_A_URL = rf"://(?:{_USER}|(?!{_USER}))"
_OF_A_KEY = r"(?<![a-z])host(?:name)?[\"']?\s*[:=]\s*[\"']?"
_SHORT = re.compile(
    rf"(?P<before>{_OF_A_URL}|(?i:{_OF_A_KEY}))(?P<service>{_LABEL})(?:\.(?P<namespace>{_LABEL}))?(?=[:/\s\"',}}]|$)"
)
"""A host that may be a Service, by a name that a resolver completes with the pod's search domains.

It is a URL's, or the value of a key such as `redis_host`.
"""
_LOCALHOST = "localhost"
_PATH_BEFORE = r"(?:(?<![\w.~/)}\]*-])|(?<=file://))"
"""A mount path starts here: not within another path, nor behind a variable."""
_PATH_AFTER = r"(?![\w.~-])"
_LOOPBACK = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1):(?P<port>\d+)(?!\d)")

_ADDRESS = re.compile(
    rf"(?:(?P<scheme>\bhttps?)://(?:{_USER})?)?(?P<address>127\.\d+\.\d+\.\d+)(?!\.?[\w-])(?::(?P<port>\d+)(?!\d))?"
)
_BY_DEFAULT = {"http": 80, "https": 443}


def service_names(text: str) -> set[str]:
    """The Services that a text names in full, each as "service.namespace".

    >>> service_names("http://vllm-api.ml.svc.cluster.local:8000/v1")
    {'vllm-api.ml'}
    """
    return {f"{found['service']}.{found['namespace']}" for found in _SERVICE.finditer(text)}


def hosts(text: str, namespace: str) -> set[str]:
    """The hosts that would be Services of this namespace, if there are such, each as "service.namespace".

    >>> hosts("http://vllm-api:8000/v1, http://localhost:4000 and https://example.com/", "ml")
    {'vllm-api.ml'}
    >>> hosts("postgresql://llm:secret@example.com/llm {redis_host: redis, redis_port: 6379}", "ml")
    {'redis.ml'}
    """
    found = {each["service"] for each in _SHORT.finditer(text) if each["namespace"] is None}
    return {f"{service}.{namespace}" for service in found - {_LOCALHOST}}


@dataclass(frozen=True)
class Translation:
    """How one container's texts are translated.

    `paths` maps a mount path to its folder or file, `address` is where the pod listens, `services` maps
    "service.namespace" to an address, and `namespace` is the pod's; a Service that it lacks keeps its name.
    `ports` are those that the pod says its containers listen on: to them localhost leads, as one container of a pod
    reaches another, or a probe its own.

    >>> translate = Translation({}, "127.1.1.1", {"vllm-api.ml": "127.2.2.2", "web.other": "127.3.3.3"}, "ml")
    >>> translate("http://vllm-api.ml.svc:8000/v1 http://vllm-api:8000 http://web.other/ http://web/ vllm-api")
    'http://127.2.2.2:8000/v1 http://127.2.2.2:8000 http://127.3.3.3/ http://web/ vllm-api'
    """

    paths: Mapping[str, str]
    address: str
    services: Mapping[str, str]
    namespace: str
    ports: frozenset[int] = frozenset()
    first_port: int = field(default_factory=first_port)
    """The lowest at which a Service is served: one of a lower port is named with that at which it is instead."""

    def __call__(self, text: str) -> str:
        """Translate a text. What has been put in is never translated again."""
        text = _SHORT.sub(self._host, _SERVICE.sub(self._service, text))
        text = _ADDRESS.sub(self._served, text)
        text = _LOOPBACK.sub(self._loopback, text)
        text = re.sub(rf"(?<![\d.]){re.escape(ANY_ADDRESS)}(?![\d.]|/\d)", self.address, text)
        if not self.paths:
            return text
        longest_first = sorted((re.escape(path) for path in self.paths), key=len, reverse=True)
        pattern = rf"{_PATH_BEFORE}(?:{'|'.join(longest_first)}){_PATH_AFTER}"
        return re.sub(pattern, lambda found: self.paths[found[0]], text)

    def variable(self, name: str, value: str) -> str:
        """Translate an environment variable's value, which may be a host for its name.

        >>> translate = Translation({}, "127.1.1.1", {"redis.ml": "127.2.2.2"}, "ml")
        >>> translate.variable("REDIS_HOST", "redis"), translate.variable("KIND", "redis")
        ('127.2.2.2', 'redis')
        """
        return self(f"{name}={value}").removeprefix(f"{name}=")

    def _host(self, found: re.Match[str]) -> str:
        address = self.services.get(f"{found['service']}.{found['namespace'] or self.namespace}")
        return found["before"] + address if address else found[0]

    def _service(self, found: re.Match[str]) -> str:
        return self.services.get(f"{found['service']}.{found['namespace']}", found[0])

    def _served(self, found: re.Match[str]) -> str:
        port = int(found["port"] or _BY_DEFAULT.get(found["scheme"], 0))
        served = served_port(port, self.first_port)
        if not port or served == port or found["address"] not in self.services.values():
            return found[0]
        return f"{found[0].removesuffix(':' + (found['port'] or ''))}:{served}"

    def _loopback(self, found: re.Match[str]) -> str:
        return f"{self.address}:{found['port']}" if int(found["port"]) in self.ports else found[0]
