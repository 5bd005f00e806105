"""How long prompts and answers are: seeded draws from a published distribution, or from a file of the user's own.

The published one is a log-normal fit (mean and standard deviation of the logarithms of both columns) to the 19,366
conversations of the Azure LLM inference trace 2023 (AzureLLMInferenceTrace_conv.csv in
https://github.com/Azure/AzurePublicDataset, CC-BY), described in P. Patel et al., "Splitwise: Efficient Generative LLM
Inference Using Phase Splitting", ISCA 2024: medians of 1020 prompt and 129 generated tokens. The two lengths hardly
correlate there (0.09), so they are drawn independently.

The model of the story's tests takes 1024 tokens in all, so by default lengths are a quarter of the trace's, and what is
still longer than a limit is cut to it.
"""

import csv
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from signoff.core.errors import SignoffError

PROMPT_MU, PROMPT_SIGMA = 6.633, 0.985
ANSWER_MU, ANSWER_SIGMA = 5.019, 0.859
SOURCE = "Azure LLM inference trace 2023, conversations (Splitwise, ISCA 2024), log-normal"

SCALE = 0.25
MAX_PROMPT, MAX_ANSWER = 512, 384
"""Tokens; with the chat template below 1024 together."""
PROBE_PROMPT_TOKENS, PROBE_ANSWER_TOKENS = 64, 16
"""A probe asks for little, so that it shows the state of the arms and adds nothing to it."""
CHARACTERS_PER_TOKEN = 1.5
"""Of random syllables such as "kab luf": 1.45 in the tiny model's tokenizer, around 2 in those of large models."""

_SYLLABLES = ["".join(letters) for letters in product(string.ascii_lowercase, "aeiou", string.ascii_lowercase)]
_COLUMNS = ("prompt_tokens", "answer_tokens")


@dataclass(frozen=True)
class Question:
    """A prompt that nobody has sent before, and the most tokens that its answer may have."""

    prompt: str
    max_tokens: int


@dataclass(frozen=True)
class Workload:
    """Where lengths come from; `lengths` is None for the published distribution. Lengths are in tokens."""

    scale: float = SCALE
    max_prompt: int = MAX_PROMPT
    max_answer: int = MAX_ANSWER
    source: str = SOURCE
    lengths: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def read(cls, path: Path, max_prompt: int = MAX_PROMPT, max_answer: int = MAX_ANSWER) -> "Workload":
        """Lengths from a CSV file with the columns prompt_tokens and answer_tokens; each line is as likely.

        Raises:
            SignoffError: it cannot be read, lacks a column, or holds something that is no length.
        """
        hint = f"a CSV file whose first line is {','.join(_COLUMNS)}, then whole numbers from 1 on"
        found = []
        try:
            with path.open(newline="", encoding="utf-8") as lines:
                table = csv.DictReader(lines)
                if missing := set(_COLUMNS) - set(table.fieldnames or ()):
                    raise SignoffError(f"no column {', '.join(sorted(missing))}", where=str(path), hint=hint)
                for row in table:
                    lengths = int(row[_COLUMNS[0]]), int(row[_COLUMNS[1]])
                    if min(lengths) < 1:
                        raise ValueError(f"a length is {min(lengths)}")
                    found.append(lengths)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SignoffError(f"the lengths cannot be read: {why}", where=str(path), hint=hint) from error
        except (ValueError, TypeError) as error:
            raise SignoffError(f"not a length: {error}", where=f"{path}, line {len(found) + 2}", hint=hint) from error
        if not found:
            raise SignoffError("no lengths", where=str(path), hint=hint)
        return cls(1.0, max_prompt, max_answer, f"file {path.name}", tuple(found))

    def describe(self) -> dict[str, Any]:
        """For run.json: what must be equal for two loads to be the same."""
        told: dict[str, Any] = {
            "source": self.source,
            "scale": self.scale,
            "max_prompt_tokens": self.max_prompt,
            "max_answer_tokens": self.max_answer,
            "characters_per_token": CHARACTERS_PER_TOKEN,
        }
        return told if self.lengths is None else {**told, "lines": len(self.lengths), "sum": _sums(self.lengths)}

    def questions(self, rng: random.Random) -> Iterator[Question]:
        """Questions for ever; equal generators give equal questions."""
        while True:
            prompt, answer = self._lengths(rng)
            yield question(rng, min(prompt, self.max_prompt), min(answer, self.max_answer))

    def _lengths(self, rng: random.Random) -> tuple[int, int]:
        if self.lengths is not None:
            return rng.choice(self.lengths)
        prompt = rng.lognormvariate(PROMPT_MU, PROMPT_SIGMA) * self.scale
        answer = rng.lognormvariate(ANSWER_MU, ANSWER_SIGMA) * self.scale
        return max(1, round(prompt)), max(1, round(answer))


def question(rng: random.Random, prompt_tokens: int, answer_tokens: int) -> Question:
    """Syllables of about so many tokens. Its beginning is random too, so that no prefix cache helps."""
    letters = max(1, round(prompt_tokens * CHARACTERS_PER_TOKEN))
    text = " ".join(rng.choices(_SYLLABLES, k=letters // 4 + 1))
    return Question(text[:letters].rstrip() or text[0], answer_tokens)


def _sums(lengths: tuple[tuple[int, int], ...]) -> list[int]:
    return [sum(prompt for prompt, _ in lengths), sum(answer for _, answer in lengths)]
