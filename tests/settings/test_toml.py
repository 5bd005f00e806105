"""The line of each key of a TOML file, however it is written."""

from pathlib import Path

import pytest

from signoff.settings.toml import File, lines_of

TEXT = '''# said of the file
port = 4000

allowed_nodes = [  # of two lines
  "a",
  # port = 5000
  "b",
]
"model" = """
namespace = "no key, but text"
"""

[labels]
"app.kubernetes.io/name" = "litellm"
app.'kubernetes.io/part-of' = "home-lab"

[ "more" . nested ]
inline = { deep = { deeper = 1 } }
[[tables]]
x = 1
[[tables]]
y = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("port",), 2),
        (("allowed_nodes",), 4),
        (("model",), 9),
        (("labels",), 13),
        (("labels", "app.kubernetes.io/name"), 14),
        (("labels", "app", "kubernetes.io/part-of"), 15),
        (("more",), 17),
        (("more", "nested", "inline", "deep", "deeper"), 18),
        (("tables",), 19),
        (("tables", "0"), 19),
        (("tables", "1"), 21),
        (("tables", "y"), 22),
    ],
)
def test_a_keys_line_is_where_its_statement_begins(path: tuple[str, ...], line: int) -> None:
    assert lines_of(TEXT)[path] == line


def test_a_file_of_another_system_has_the_same_lines(tmp_path: Path) -> None:
    file = tmp_path / "signoff.toml"
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert File(file, "").where("labels", "app.kubernetes.io/name") == f"{file}:14"


def test_what_only_looks_like_a_key_has_no_line() -> None:
    assert ("namespace",) not in lines_of(TEXT)
