"""Gherkin tables as rows by heading."""

Rows = list[list[str]]
"""A data table as pytest-bdd hands it over: the headings, then the rows."""


def rows(table: Rows) -> list[dict[str, str]]:
    """One mapping per row, from heading to cell."""
    headings, *rest = table
    return [dict(zip(headings, cells, strict=True)) for cells in rest]
