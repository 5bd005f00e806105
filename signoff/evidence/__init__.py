"""Evidence: typed records of what was observed, in one store for features, parity and load."""

from signoff.evidence.store import FILE, Evidence, Recorded, read, recording, side_file

__all__ = ["FILE", "Evidence", "Recorded", "read", "recording", "side_file"]
