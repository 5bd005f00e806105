"""The records of a load as one table."""

import io
from pathlib import Path
from typing import Any

import pandas as pd

from signoff.core.errors import SignoffError
from signoff.in_cluster.load_generator import rollup
from signoff.in_cluster.load_generator.records import COLUMNS

_WORDS = ["worker", "user", "role", "arm", "step", "error"]


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a run, from the files `records-*.csv` of this folder, in the order of their sending.

    Of files that were rolled up (`signoff.in_cluster.load_generator.rollup`), the probes' records.

    What does not apply is NaN in the columns of numbers; words are categories, and "" where there is none.

    Raises:
        SignoffError: there are none, or a file is damaged elsewhere than at its end.
    """
    paths = [*sorted(folder.glob("records-*.csv")), *rollup.whole(folder, "probes")]
    tables = [table for path in paths if len(table := _read(path))]
    if not tables:
        raise SignoffError(
            "there are no records of requests", where=str(folder), hint="name the folder of a load: reports/load-..."
        )
    for word in _WORDS:
        names = sorted({name for table in tables for name in table[word].cat.categories})
        for table in tables:
            table[word] = table[word].cat.set_categories(names)
    return pd.concat(tables, ignore_index=True).sort_values("started", ignore_index=True, kind="stable")


def _read(path: Path) -> pd.DataFrame:
    types: dict[str, Any] = dict.fromkeys(_WORDS, "category") | {"streamed": "bool"}
    numbers = dict.fromkeys([name for name in COLUMNS if name not in types], "float64")
    empty = {name: ["nan", ""] if name in numbers else [] for name in COLUMNS}
    try:
        return pd.read_csv(_whole_lines(path), dtype=types | numbers, na_values=empty, keep_default_na=False)[COLUMNS]
    except (pd.errors.ParserError, ValueError, KeyError) as error:
        raise SignoffError(
            f"the records are damaged: {error}", where=str(path), hint="take the file out of the folder, or fix it"
        ) from error


def _whole_lines(path: Path) -> Path | io.BytesIO:
    """The file, or its lines without the last one if that was cut off."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read() == b"\n":
            return path
        file.seek(0)
        data = file.read()
    lines = data[: data.rfind(b"\n") + 1]
    return io.BytesIO(lines or (",".join(COLUMNS) + "\n").encode())
