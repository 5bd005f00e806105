"""What a container reads is translated for a process of the host."""

from dataclasses import replace

import pytest

from signoff.cluster.embedded.agent.translation import Translation

OF_A_POD = Translation({}, "127.64.0.9", {}, "ml", frozenset({4000}))


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("http://localhost:4000/health", "http://127.64.0.9:4000/health"),
        ("http://127.0.0.1:4000", "http://127.64.0.9:4000"),
        ("curl localhost:4000 localhost:4001", "curl 127.64.0.9:4000 localhost:4001"),
        ("localhost:40001", "localhost:40001"),
        ("localhost", "localhost"),
        ("my-localhost:4000", "my-localhost:4000"),
        ("x.localhost:4000", "x.localhost:4000"),
        ("10.127.0.0.1:4000", "10.127.0.0.1:4000"),
    ],
)
def test_localhost_is_the_pod_at_its_own_ports(text: str, translated: str) -> None:
    assert OF_A_POD(text) == translated


SERVED = Translation({}, "127.64.0.9", {"redis.ml": "127.2.2.2", "postgres.ml": "127.3.3.3", "llm.ml": "no"}, "ml")


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("postgresql://llm:made-up@postgres:5432/llm", "postgresql://llm:made-up@127.3.3.3:5432/llm"),
        ("postgresql://postgres@postgres.ml/postgres", "postgresql://postgres@127.3.3.3/postgres"),
        ("postgresql://postgres:pw@example.com:5432/llm", "postgresql://postgres:pw@example.com:5432/llm"),
        ("redis://:made-up@redis:6379/0", "redis://:made-up@127.2.2.2:6379/0"),
        ("{redis_host: redis, redis_port: 6379}", "{redis_host: 127.2.2.2, redis_port: 6379}"),
        ('redis_host: "redis"\nhost: redis.ml', 'redis_host: "127.2.2.2"\nhost: 127.2.2.2'),
        ('{"host":"redis"}', '{"host":"127.2.2.2"}'),
        ("host=postgres user=postgres", "host=127.3.3.3 user=postgres"),
        ("redis_host: redis.example", "redis_host: redis.example"),
        ("ghost: redis", "ghost: redis"),
        ("cache: redis", "cache: redis"),
        ("host: unknown", "host: unknown"),
    ],
)
def test_a_host_is_a_service_by_its_short_name(text: str, translated: str) -> None:
    assert SERVED(text) == translated


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("http://redis:80/x http://redis/x", "http://127.2.2.2:30080/x http://127.2.2.2:30080/x"),
        ("https://u:p@redis.ml.svc/ redis.ml.svc:443", "https://u:p@127.2.2.2:30443/ 127.2.2.2:30443"),
        (
            "http://redis:8000 redis://redis tcp://127.2.2.2:80",
            "http://127.2.2.2:8000 redis://127.2.2.2 tcp://127.2.2.2:30080",
        ),
        ("http://127.9.9.9:80 http://127.2.2.22:80", "http://127.9.9.9:80 http://127.2.2.22:80"),
        ("http://example.org:80/", "http://example.org:80/"),
    ],
)
def test_a_port_that_is_not_for_everybody_is_named_as_it_is_served(text: str, translated: str) -> None:
    assert replace(SERVED, first_port=1024)(text) == translated
    untouched = (
        text.replace("redis.ml.svc", "127.2.2.2").replace("@redis", "@127.2.2.2").replace("//redis", "//127.2.2.2")
    )
    assert replace(SERVED, first_port=1)(text) == untouched


def test_a_variable_is_a_host_for_its_name() -> None:
    assert SERVED.variable("REDIS_HOST", "redis") == "127.2.2.2"
    assert SERVED.variable("LITELLM_CACHE", "redis") == "redis"
