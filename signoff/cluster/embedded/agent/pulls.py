"""Images, prepared in threads: each once, however many containers ask for it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from signoff.cluster.embedded import once
from signoff.cluster.embedded.images import Image, Images

_BESIDE_EACH_OTHER = 8
"""In threads of their own: a pull takes minutes, and starts and probes of other pods need threads meanwhile."""


class Pulls:
    """The images that are being prepared or at hand."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._pulls: dict[str, asyncio.Future[Image]] = {}
        self._threads = ThreadPoolExecutor(_BESIDE_EACH_OTHER)

    def at_hand(self, reference: str) -> bool:
        """Whether the image has been prepared already."""
        pull = self._pulls.get(reference)
        return pull is not None and pull.done() and pull.exception() is None

    def begin(self, reference: str) -> asyncio.Future[Image]:
        """Have the image prepared; one that failed is tried again."""
        pull = self._pulls.get(reference)
        if pull is None or (pull.done() and pull.exception() is not None):
            loop = asyncio.get_running_loop()
            pull = loop.run_in_executor(self._threads, once.prepared, self._images, reference)
            pull.add_done_callback(lambda done: done.exception())  # seen: nobody may be waiting for it any more
            self._pulls[reference] = pull
        return pull

    async def get(self, reference: str) -> Image:
        """The prepared image.

        Raises:
            SignoffError: it cannot be had.
        """
        return await asyncio.shield(self.begin(reference))
