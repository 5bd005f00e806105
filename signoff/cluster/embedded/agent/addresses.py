"""Which address each pod has."""

_FIRST, _LAST = 2, 254


class PodAddresses:
    """The pod addresses of one node. A freed one comes round again last, so that nobody meets its predecessor."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._free = list(range(_FIRST, _LAST + 1))

    def take(self) -> str:
        """An address that no pod has.

        Raises:
            IndexError: all are taken; the node's capacity for pods is lower.
        """
        return f"{self._prefix}.{self._free.pop(0)}"

    def give_back(self, address: str) -> None:
        """Free an address."""
        self._free.append(int(address.rpartition(".")[2]))
