"""Whether LiteLLM is faithful to its backend.

`answers` judges one chat completion, as the story asks. The rest is the matrix: `cases` (what is asked, as data),
`runner` (asks it of a deployment), `exchange` (what came back), `differ` (where direct and proxied differ), `rates`
(whether answers that vary do so alike), `known_issues` (which differences are known, and why), `judge` (what the
differences mean) and `matrix` (the result, as JSON and in the terminal). signoff.in_cluster.recorder sees what reached
the backend and makes faults on demand.
"""
