"""Nodes as settings declare them: tables in a file, or texts; checked as the API server will check them."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from signoff.core.node import Node, Taint
from signoff.core.words import listed
from signoff.story.declaration import nearest

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAME = rf"{LABEL}(\.{LABEL})*"
MAX_NAME = 253
_FIELDS = ("name", "labels", "taints", "resources")
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"({NAME}/)?{_WORD}"
_TAINT = rf"{_KEY}(=({_WORD})?)?:(NoSchedule|PreferNoSchedule|NoExecute)"
_RESOURCE = rf"{NAME}/{_WORD}"
_OF_EVERY_NODE = ("kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch")


def _told(told: Any) -> Any:
    """A text becomes a node; of a table is seen that it says nothing else."""
    if isinstance(told, str):
        return Node.parse(told)
    if isinstance(told, dict):
        for key in told:
            if key not in _FIELDS:
                raise ValueError(f"a node has no {key!r}{nearest(key, _FIELDS)}")
        resources = told.get("resources")
        for key, amount in resources.items() if isinstance(resources, dict) else ():
            if isinstance(amount, bool) or not isinstance(amount, int):
                raise ValueError(f"the number of {key} must be a whole number")
    return told


def _checked(node: Node) -> Node:
    if len(node.name) > MAX_NAME or not re.fullmatch(NAME, node.name):
        raise ValueError(f"{node.name!r} is not the name of a node")
    for key, value in node.labels.items():
        if not re.fullmatch(_KEY, key) or not re.fullmatch(f"({_WORD})?", value):
            raise ValueError(f"'{key}={value}' of {node.name} is not a label")
        if key in _OF_EVERY_NODE:
            raise ValueError(f"{node.name} has the label {key} by itself")
    for text in node.taints:
        if not re.fullmatch(_TAINT, text):
            raise ValueError(f"{text!r} of {node.name} is not a taint; one is written as KEY=VALUE:EFFECT")
    marks = [(taint.key, taint.effect) for taint in map(Taint.parse, node.taints)]
    if twice := next((each for each in marks if marks.count(each) > 1), None):
        raise ValueError(f"{node.name} has two taints {twice[0]} of the effect {twice[1]}")
    for key, amount in node.resources.items():
        if not re.fullmatch(_RESOURCE, key) or amount < 1:
            raise ValueError(f"'{key}:{amount}' of {node.name} is no extended resource; one is nvidia.com/gpu:1")
    return node


def each_once(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """See that no two nodes have one name.

    Raises:
        ValueError: they have.
    """
    names = [node.name for node in nodes]
    if twice := list(dict.fromkeys(name for name in names if names.count(name) > 1)):
        raise ValueError(f"{listed(twice)} is declared twice")
    return nodes


Declared = Annotated[
    Node, BeforeValidator(_told), AfterValidator(_checked), PlainSerializer(str, return_type=str, when_used="json")
]
