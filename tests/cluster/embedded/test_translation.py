"""What a container reads is translated for a process of the host."""

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
