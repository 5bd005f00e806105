"""As much of the ELF format as the stand-ins of `stubs` need: shared libraries of 64-bit little-endian machines.

System V gABI, chapters 4 and 5; symbol versions as in the LSB. Names are those of <elf.h>.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import numpy as np

_HEADER = Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = Struct("<IIQQQQIIQQ")
_PROGRAM_HEADER = Struct("<IIQQQQQQ")
_SYMBOL = Struct("<IBBHQQ")
_DYNAMIC = Struct("<QQ")
_VERNEED, _VERNAUX = Struct("<HHIII"), Struct("<IHHII")
_VERDEF, _VERDAUX = Struct("<HHHHIII"), Struct("<II")
_SYMBOLS = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_IDENT = b"\x7fELF" + bytes([2, 1, 1])  # 64 bits, little-endian, version 1
_ET_DYN, _EV_CURRENT = 3, 1
_STB_GLOBAL, _STT_FUNC = 1, 2
_SHN_UNDEF, _SECTION_OF_CODE = 0, 1  # any section will do that is not SHN_UNDEF: there are no section headers
_VER_FLG_BASE, _VER_NDX_LOCAL, _VER_NDX_GLOBAL, _VER_NDX_MASK = 1, 0, 1, 0x7FFF

PAGE = 0x10000
"""Bytes; the largest page size of both machines."""


class Machine(IntEnum):
    """EM_..."""

    X86_64 = 62
    AARCH64 = 183


RETURN_1 = {Machine.X86_64: bytes.fromhex("b801000000c3"), Machine.AARCH64: bytes.fromhex("20008052c0035fd6")}
"""The code of a function that returns 1."""


class _Section(IntEnum):
    """SHT_..."""

    DYNAMIC = 6
    DYNSYM = 11
    GNU_VERNEED = 0x6FFFFFFE
    GNU_VERSYM = 0x6FFFFFFF


class _Tag(IntEnum):
    """DT_..."""

    NULL = 0
    NEEDED = 1
    HASH = 4
    STRTAB = 5
    SYMTAB = 6
    STRSZ = 10
    SYMENT = 11
    SONAME = 14
    VERSYM = 0x6FFFFFF0
    VERDEF = 0x6FFFFFFC
    VERDEFNUM = 0x6FFFFFFD


class _Segment(IntEnum):
    """PT_..."""

    LOAD = 1
    DYNAMIC = 2
    GNU_STACK = 0x6474E551


class _Flags(IntFlag):
    """PF_..."""

    X = 1
    W = 2
    R = 4


class Symbol(NamedTuple):
    """A dynamic symbol; the version is empty where it has none."""

    name: str
    version: str


@dataclass
class Library:
    """What the dynamic linker reads of a shared library."""

    machine: int
    needed: set[str]
    undefined: set[Symbol]
    defined: set[str]
    version_from: Mapping[str, str]
    """Version name to the library that has to define it."""


class _Place(NamedTuple):
    """Where a section lies, and the number of the one that holds its texts."""

    offset: int
    size: int
    link: int


class _Version(NamedTuple):
    number: int
    name: str
    file: str


def read_library(path: Path) -> Library:
    """Read the dynamic symbols and needs of a shared library by its section headers."""
    reader = _Reader(path)
    versions = list(reader.versions_needed())
    defined, undefined = reader.symbols({each.number: each.name for each in versions})
    return Library(
        reader.machine, reader.needed(), undefined, defined, version_from={each.name: each.file for each in versions}
    )


class _Reader:
    """A shared library, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._data = memoryview(np.memmap(path, mode="r")).cast("B")  # type: ignore[arg-type]
        _, _, self.machine, _, _, _, table, _, _, _, _, entry_size, count, _ = _HEADER.unpack_from(self._data)
        self._offsets: list[int] = []
        self._sections: dict[int, _Place] = {}
        for index in range(count):
            header = _SECTION_HEADER.unpack_from(self._data, table + index * entry_size)
            _, kind, _, _, offset, size, link, _, _, _ = header
            self._offsets.append(offset)
            self._sections[kind] = _Place(offset, size, link)

    def needed(self) -> set[str]:
        """The libraries that it is linked against."""
        offset, size, link = self._sections[_Section.DYNAMIC]
        entries = _DYNAMIC.iter_unpack(self._data[offset : offset + size])
        return {self._text(link, value) for tag, value in entries if tag == _Tag.NEEDED}

    def versions_needed(self) -> Iterator[_Version]:
        """The versions of symbols that other libraries have to define."""
        if _Section.GNU_VERNEED not in self._sections:
            return
        offset, _, link = self._sections[_Section.GNU_VERNEED]
        step = -1
        while step:
            _, count, file, first, step = _VERNEED.unpack_from(self._data, offset)
            at = offset + first
            for _ in range(count):
                _, _, number, name, next_one = _VERNAUX.unpack_from(self._data, at)
                yield _Version(number & _VER_NDX_MASK, self._text(link, name), self._text(link, file))
                at += next_one
            offset += step

    def symbols(self, versions: Mapping[int, str]) -> tuple[set[str], set[Symbol]]:
        """The symbols that it defines, and those that it wants, with the versions that have these numbers."""
        offset, size, link = self._sections[_Section.DYNSYM]
        table = np.frombuffer(self._data, _SYMBOLS, size // _SYMBOLS.itemsize, offset)
        numbers = np.zeros(len(table), "<u2")
        if _Section.GNU_VERSYM in self._sections:
            numbers = np.frombuffer(self._data, "<u2", len(table), self._sections[_Section.GNU_VERSYM].offset)
        defined, undefined = set(), set()
        for name, info, section, number in zip(table["name"], table["info"], table["section"], numbers, strict=True):
            if section != _SHN_UNDEF:
                defined.add(self._text(link, int(name)))
            elif info >> 4 == _STB_GLOBAL:
                version = versions.get(int(number) & _VER_NDX_MASK, "")
                undefined.add(Symbol(self._text(link, int(name)), version))
        return defined, undefined

    def _text(self, section: int, at: int) -> str:
        start = end = self._offsets[section] + at
        while self._data[end]:
            end += 1
        return bytes(self._data[start:end]).decode()


def shared_library(soname: str, symbols: Iterable[Symbol], machine: int) -> bytes:
    """A shared library of that name whose symbols are one function that returns 1.

    Two segments: what is only read or run, and the dynamic section, which the linker writes to.
    """
    ordered = sorted(symbols)
    versions = sorted({symbol.version for symbol in ordered if symbol.version})
    strings = _Strings()
    soname_at = strings.add(soname)
    names_at = [strings.add(symbol.name) for symbol in ordered]
    definitions = _version_definitions(soname, soname_at, versions, strings)

    segments = 4
    layout = _Layout(_HEADER.size + segments * _PROGRAM_HEADER.size)
    hash_at = layout.add(_hash_table([symbol.name for symbol in ordered]))
    symbols_at = layout.add(bytes(_SYMBOL.size * (len(ordered) + 1)))
    strings_at = layout.add(strings.data)
    versym_at = layout.add(_version_numbers(ordered, versions))
    verdef_at = layout.add(definitions)
    code_at = layout.add(RETURN_1[Machine(machine)])
    info = _STB_GLOBAL << 4 | _STT_FUNC
    layout.put(symbols_at, bytes(_SYMBOL.size) + b"".join(
        _SYMBOL.pack(name_at, info, 0, _SECTION_OF_CODE, code_at, 0) for name_at in names_at
    ))  # fmt: skip

    entries = [(_Tag.SONAME, soname_at), (_Tag.HASH, hash_at), (_Tag.STRTAB, strings_at), (_Tag.SYMTAB, symbols_at)]
    entries += [(_Tag.STRSZ, len(strings.data)), (_Tag.SYMENT, _SYMBOL.size)]
    if versions:
        entries += [(_Tag.VERSYM, versym_at), (_Tag.VERDEF, verdef_at), (_Tag.VERDEFNUM, len(versions) + 1)]
    dynamic = b"".join(_DYNAMIC.pack(*entry) for entry in [*entries, (_Tag.NULL, 0)])

    text_size, dynamic_at = len(layout.data), -(-len(layout.data) // PAGE) * PAGE
    layout.put(0, _HEADER.pack(
        _IDENT, _ET_DYN, machine, _EV_CURRENT, 0, _HEADER.size, 0, 0,
        _HEADER.size, _PROGRAM_HEADER.size, segments, _SECTION_HEADER.size, 0, 0,
    ) + _program_header(_Segment.LOAD, _Flags.R | _Flags.X, 0, text_size, PAGE)
      + _program_header(_Segment.LOAD, _Flags.R | _Flags.W, dynamic_at, len(dynamic), PAGE)
      + _program_header(_Segment.DYNAMIC, _Flags.R | _Flags.W, dynamic_at, len(dynamic), 8)
      + _program_header(_Segment.GNU_STACK, _Flags.R | _Flags.W, 0, 0, 16))  # fmt: skip
    return bytes(layout.data).ljust(dynamic_at, b"\0") + dynamic


def _program_header(kind: _Segment, flags: _Flags, at: int, size: int, align: int) -> bytes:
    return _PROGRAM_HEADER.pack(kind, flags, at, at, at, size, size, align)


def _version_numbers(symbols: Iterable[Symbol], versions: Iterable[str]) -> bytes:
    """The number of each symbol's version, after that of the symbol 0."""
    number_of = {"": _VER_NDX_GLOBAL, **{version: number for number, version in enumerate(versions, start=2)}}
    return np.array([_VER_NDX_LOCAL, *(number_of[symbol.version] for symbol in symbols)], "<u2").tobytes()


def _version_definitions(soname: str, soname_at: int, versions: list[str], strings: "_Strings") -> bytes:
    """The library's own name, which has number 1, and the versions that it defines."""
    found = b""
    for number, name in enumerate([soname, *versions], start=1):
        is_base, is_last = number == 1, number == len(versions) + 1
        step = 0 if is_last else _VERDEF.size + _VERDAUX.size
        flags = _VER_FLG_BASE if is_base else 0
        found += _VERDEF.pack(1, flags, number, 1, _hash(name), _VERDEF.size, step)
        found += _VERDAUX.pack(soname_at if is_base else strings.add(name), 0)
    return found


def _hash_table(names: list[str]) -> bytes:
    """Symbols by their hashes: each bucket begins a chain. They count from 1."""
    buckets, chains = [0] * max(1, len(names) // 2), [0] * (len(names) + 1)
    for index, name in enumerate(names, start=1):
        bucket = _hash(name) % len(buckets)
        chains[index], buckets[bucket] = buckets[bucket], index
    return np.array([len(buckets), len(chains), *buckets, *chains], "<u4").tobytes()


def _hash(name: str) -> int:
    """The hash function of the System V gABI, "Hash Table"."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


class _Layout:
    """A file that is put together part by part, each at a multiple of 8 bytes."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def add(self, content: bytes) -> int:
        self.data += bytes(-len(self.data) % 8)
        at = len(self.data)
        self.data += content
        return at

    def put(self, at: int, content: bytes) -> None:
        self.data[at : at + len(content)] = content
