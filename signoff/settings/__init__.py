"""What differs from one home to the next: names, nodes, limits; the story's values where nobody says otherwise."""

from signoff.settings.model import Settings
from signoff.settings.reading import Read, read
from signoff.settings.values import story_values

__all__ = ["Read", "Settings", "read", "story_values"]
