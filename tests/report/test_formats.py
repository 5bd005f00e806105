"""The formats' examples are true."""

import doctest

from signoff.report import formats


def test_examples() -> None:
    found = doctest.testmod(formats)
    assert found.attempted >= 8
    assert not found.failed
