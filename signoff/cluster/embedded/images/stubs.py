"""Stand-ins for shared libraries that are linked against but never called.

torch as the package index has it is linked against 2.7 GB of CUDA, none of which runs on a CPU; but the dynamic
linker wants every library that is named and every symbol that is bound. So for each missing library a tiny one is
written that defines just these symbols, each a function that returns 1, an error to every CUDA library. No compiler is
needed.
"""

import ctypes
from pathlib import Path

from signoff.cluster.embedded.images.elf import Library, Symbol, read_library, shared_library

_LEFT_OUT = frozenset({"libcuda.so.1"})
"""The driver: torch takes its absence to mean that there is no GPU."""


def write_stubs(package: Path, site: Path) -> list[str]:
    """Give `package` (a folder with lib/*.so) a stand-in in lib/ for each library it needs and `site` lacks.

    Returns the names written. Symbols without a version that nobody defines, Python and the system's libraries
    included, go to the first stand-in that has none, since the linker takes them from anywhere.
    """
    paths = [*package.glob("lib/*.so*"), *package.glob("*.so")]
    bundled_paths = list(site.glob("nvidia/**/*.so*"))
    libraries = [read_library(path) for path in paths]
    needed = set().union(*(each.needed for each in libraries))
    wanted = needed - {path.name for path in (*paths, *bundled_paths)} - _LEFT_OUT
    system = {name: handle for name in wanted if (handle := _load(name))}
    missing = sorted(wanted - system.keys())
    if not missing:
        return []
    everywhere = [ctypes.CDLL(None), *system.values()]
    defined = set().union(*(each.defined for each in (*libraries, *map(read_library, bundled_paths))))

    def is_found(name: str) -> bool:
        return name in defined or any(hasattr(handle, name) for handle in everywhere)

    for name, symbols in _shared_out(missing, libraries).items():
        bound = {symbol for symbol in symbols if symbol.version or not is_found(symbol.name)}
        (package / "lib" / name).write_bytes(shared_library(name, bound, libraries[0].machine))
    return missing


def _shared_out(missing: list[str], libraries: list[Library]) -> dict[str, set[Symbol]]:
    """Which of the missing libraries has to define which symbols."""
    version_from = {version: file for each in libraries for version, file in each.version_from.items()}
    of_all = next((name for name in missing if name not in version_from.values()), missing[0])
    found: dict[str, set[Symbol]] = {name: set() for name in missing}
    for symbol in set().union(*(each.undefined for each in libraries)):
        library = version_from[symbol.version] if symbol.version else of_all
        if library in found:
            found[library].add(symbol)
    return found


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
