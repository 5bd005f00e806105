"""Stand-ins for shared libraries that are linked against but never called.

torch as the package index has it is linked against 2.7 GB of CUDA, none of which runs on a CPU; but the dynamic
linker wants every library that is named and every symbol that is bound. So for each missing library a tiny ELF file
(System V gABI, chapters 4 and 5; symbol versions as in the LSB) is written that defines just these symbols, each a
function that returns 1, an error to every CUDA library. No compiler is needed.
"""

import ctypes
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERNEED, _SHT_VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
_DT_NEEDED = 1
_STB_GLOBAL = 1
_RETURN_1 = {62: bytes.fromhex("b801000000c3"), 183: bytes.fromhex("20008052c0035fd6")}  # x86-64, AArch64
_PAGE = 0x10000
"""Bytes; the largest page size of both machines."""

_LEFT_OUT = frozenset({"libcuda.so.1"})
"""The driver: torch takes its absence to mean that there is no GPU."""


@dataclass
class Library:
    """What the dynamic linker reads of a shared library. A symbol is (name, version or "")."""

    machine: int
    needed: set[str]
    undefined: set[tuple[str, str]]
    defined: set[str]
    version_from: dict[str, str]
    """Version name to the library that has to define it."""


def read_library(path: Path) -> Library:
    """Read the dynamic symbols and needs of a 64-bit little-endian ELF file by its section headers."""
    data = memoryview(np.memmap(path, mode="r")).cast("B")  # type: ignore[arg-type]
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 40)
    entry_size, count = struct.unpack_from("<HH", data, 58)
    sections = {}
    offsets = []
    for index in range(count):
        _, kind, _, _, offset, size, link, _, _, _ = struct.unpack_from("<IIQQQQIIQQ", data, table + index * entry_size)
        offsets.append(offset)
        sections[kind] = (offset, size, link)

    def text(base: int, at: int) -> str:
        start = base + at
        end = start
        while data[end]:
            end += 1
        return bytes(data[start:end]).decode()

    library = Library(machine, set(), set(), set(), {})
    offset, size, link = sections[_SHT_DYNAMIC]
    for tag, value in struct.iter_unpack("<QQ", data[offset : offset + size]):
        if tag == _DT_NEEDED:
            library.needed.add(text(offsets[link], value))

    versions: dict[int, str] = {}
    if _SHT_VERNEED in sections:
        offset, _, link = sections[_SHT_VERNEED]
        while True:
            _, aux_count, file, aux, step = struct.unpack_from("<HHIII", data, offset)
            at = offset + aux
            for _ in range(aux_count):
                _, _, number, name, aux_step = struct.unpack_from("<IHHII", data, at)
                versions[number & 0x7FFF] = text(offsets[link], name)
                library.version_from[versions[number & 0x7FFF]] = text(offsets[link], file)
                at += aux_step
            if not step:
                break
            offset += step

    offset, size, link = sections[_SHT_DYNSYM]
    symbols = np.frombuffer(data, _SYMBOL, size // _SYMBOL.itemsize, offset)
    numbers = None
    if _SHT_VERSYM in sections:
        numbers = np.frombuffer(data, "<u2", len(symbols), sections[_SHT_VERSYM][0])
    for index, (name, info, section) in enumerate(
        zip(symbols["name"], symbols["info"], symbols["section"], strict=True)
    ):
        if section:
            library.defined.add(text(offsets[link], int(name)))
        elif info >> 4 == _STB_GLOBAL:
            version = "" if numbers is None else versions.get(int(numbers[index]) & 0x7FFF, "")
            library.undefined.add((text(offsets[link], int(name)), version))
    return library


def write_stubs(package: Path, site: Path) -> list[str]:
    """Give `package` (a folder with lib/*.so) a stand-in in lib/ for each library it needs and `site` lacks.

    Returns the names written. Symbols without a version that nobody defines, Python and the system's libraries
    included, go to the first stand-in that has none, since the linker takes them from anywhere.
    """
    paths = [*package.glob("lib/*.so*"), *package.glob("*.so")]
    libraries = [read_library(path) for path in paths]
    needed = set().union(*(each.needed for each in libraries))
    at_hand = {path.name for path in paths} | {path.name for path in site.glob("nvidia/**/*.so*")}
    system = {name: handle for name in needed - at_hand - _LEFT_OUT if (handle := _load(name))}
    missing = sorted(needed - at_hand - _LEFT_OUT - system.keys())
    if not missing:
        return []
    everywhere = [ctypes.CDLL(None), *system.values()]
    bundled = [read_library(path) for path in site.glob("nvidia/**/*.so*")]
    defined = set().union(*(each.defined for each in (*libraries, *bundled)))
    version_from = {version: file for each in libraries for version, file in each.version_from.items()}
    wanted: dict[str, set[tuple[str, str]]] = {name: set() for name in missing}
    any_one = next((name for name in missing if name not in version_from.values()), missing[0])
    for name, version in set().union(*(each.undefined for each in libraries)):
        if version:
            if version_from[version] in wanted:
                wanted[version_from[version]].add((name, version))
        elif name not in defined and not any(hasattr(handle, name) for handle in everywhere):
            wanted[any_one].add((name, ""))
    for name, symbols in wanted.items():
        (package / "lib" / name).write_bytes(shared_library(name, symbols, libraries[0].machine))
    return missing


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _hash(name: str) -> int:
    """The hash function of the System V gABI, "Hash Table"."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def shared_library(soname: str, symbols: Iterable[tuple[str, str]], machine: int) -> bytes:
    """An ELF shared library of that name whose symbols (name, version or "") are one function that returns 1.

    Two segments: what is only read or run, and the dynamic section, which the linker writes to.
    """
    ordered = sorted(symbols)
    versions = sorted({version for _, version in ordered if version})
    strings = _Strings()
    soname_at = strings.add(soname)
    names_at = [strings.add(name) for name, _ in ordered]

    number_of = {"": 1, **{version: index for index, version in enumerate(versions, start=2)}}
    version_numbers = struct.pack(f"<{len(ordered) + 1}H", 0, *(number_of[version] for _, version in ordered))
    definitions = b""
    for number, name in enumerate([soname, *versions], start=1):
        step = 0 if number == len(versions) + 1 else 28
        definitions += struct.pack("<HHHHIII", 1, int(number == 1), number, 1, _hash(name), 20, step)
        definitions += struct.pack("<II", soname_at if number == 1 else strings.add(name), 0)

    buckets, chains = [0] * max(1, len(ordered) // 2), [0] * (len(ordered) + 1)
    for index, (name, _) in enumerate(ordered, start=1):
        slot = _hash(name) % len(buckets)
        chains[index], buckets[slot] = buckets[slot], index
    hash_table = struct.pack(f"<{2 + len(buckets) + len(chains)}I", len(buckets), len(chains), *buckets, *chains)

    at = 64 + 4 * 56
    places = {}
    parts = {
        "hash": hash_table,
        "symbols": bytes(24 * (len(ordered) + 1)),
        "strings": strings.data,
        "numbers": version_numbers,
        "definitions": definitions,
        "code": _RETURN_1[machine],
    }
    for part, content in parts.items():
        at = (at + 7) // 8 * 8
        places[part] = at
        at += len(content)
    parts["symbols"] = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", name_at, 0x12, 0, 1, places["code"], 0) for name_at in names_at
    )
    text_end, dynamic_at = at, (at + _PAGE - 1) // _PAGE * _PAGE

    entries = [(14, soname_at), (4, places["hash"]), (5, places["strings"]), (6, places["symbols"])]
    entries += [(10, len(strings.data)), (11, 24)]
    if versions:
        entries += [
            (0x6FFFFFF0, places["numbers"]),
            (0x6FFFFFFC, places["definitions"]),
            (0x6FFFFFFD, len(versions) + 1),
        ]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])

    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0)
    for kind, flags, start, size, align in (
        (1, 5, 0, text_end, _PAGE),
        (1, 6, dynamic_at, len(dynamic), _PAGE),
        (2, 6, dynamic_at, len(dynamic), 8),
        (0x6474E551, 6, 0, 0, 16),
    ):
        header += struct.pack("<IIQQQQQQ", kind, flags, start, start, start, size, size, align)
    file = bytearray(dynamic_at)
    file[: len(header)] = header
    for part, content in parts.items():
        file[places[part] : places[part] + len(content)] = content
    return bytes(file) + dynamic
