"""A node as a person declares it, and a taint: each a text in one line, as kubectl writes labels and taints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self


class Taint(NamedTuple):
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str
    effect: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The taint of a text.

        >>> Taint.parse("gpu=true:NoSchedule"), str(Taint.parse("gpu:NoExecute"))
        (Taint(key='gpu', value='true', effect='NoSchedule'), 'gpu:NoExecute')
        """
        key_and_value, _, effect = text.rpartition(":")
        key, _, value = key_and_value.partition("=")
        return cls(key, value, effect)

    def __str__(self) -> str:
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"


@dataclass(frozen=True)
class Node:
    """A node of a cluster of the suite's own: `taints` are texts, `resources` are extended ones, in whole numbers."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The node of a text: its name, then labels, taints and resources in any order.

        >>> Node.parse("tower gpu=true gpu=true:NoSchedule nvidia.com/gpu:1")
        Node(name='tower', labels={'gpu': 'true'}, taints=('gpu=true:NoSchedule',), resources={'nvidia.com/gpu': 1})

        Raises:
            ValueError: a part of it is none of these, or is given twice.
        """
        name, *parts = text.split() or [""]
        labels: dict[str, str] = {}
        resources: dict[str, int] = {}
        taints = []
        for part in parts:
            key, colon, end = part.rpartition(":")
            if not colon:
                key, equals, end = part.partition("=")
                if not equals:
                    raise ValueError(f"{part!r} is no label KEY=VALUE, taint KEY=VALUE:EFFECT or resource KEY:NUMBER")
            known: dict[str, str] | dict[str, int] = resources if colon else labels
            if colon and not end.isdecimal():
                taints.append(part)
            elif key in known:
                raise ValueError(f"{key!r} is given twice")
            elif colon:
                resources[key] = int(end)
            else:
                labels[key] = end
        return cls(name, labels, tuple(taints), resources)

    def __str__(self) -> str:
        labels = (f"{key}={value}" for key, value in self.labels.items())
        resources = (f"{key}:{amount}" for key, amount in self.resources.items())
        return " ".join([self.name, *labels, *self.taints, *resources])
