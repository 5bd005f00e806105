"""Whether LiteLLM is faithful to its backend.

`answers` judges one chat completion, as the story asks. The rest is the matrix: `cases` (what is asked, as data),
`recorder` (what reached the backend, and faults on demand), `exchange` (what came back), `compare` (where direct and
proxied differ), `knowledge` (which differences are known, and why), `matrix` (the result, as JSON) and `command`.
"""

from signoff.parity.answers import Comparison, Difference, compare, distinct

__all__ = ["Comparison", "Difference", "compare", "distinct"]
