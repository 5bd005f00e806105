"""What each start would ask."""

import os
from pathlib import Path

kept = Path(os.environ["KEPT"])
kept.mkdir()
(kept / "answer").write_text("42", encoding="utf-8")
