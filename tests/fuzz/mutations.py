"""Damage to DICOM files: to their bytes, to the structure of their elements, to single values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from fuzz.hostile import VALUES

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_VRS = (
    *_LONG,
    *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH"),
    *(b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US", b"XX", b"\0\0"),
)
_UNDEFINED = 0xFFFFFFFF
_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF)


@dataclass(frozen=True)
class Element:
    """Where an element lies in a file: its tag, its VR (none in implicit VR), its value."""

    tag: int
    vr: bytes
    start: int
    value: int
    end: int


def mutate(data: bytes, random: Random) -> tuple[bytes, list[str]]:
    """Return a damaged copy of a file and what was done to it."""
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
        if not data:
            break
        change = random.choices(*_WEIGHTED)[0]
        data = change(data, random)
        done.append(change.__name__.strip("_"))
    return data, done


def elements(data: bytes) -> list[Element]:
    """Return the elements of a little-endian file at the top level, as far as it can be followed.

    A sequence of undefined length counts up to its delimiter.
    """
    at = 132 if data[128:132] == b"DICM" else 0
    found = []
    while at + 8 <= len(data):
        element = _element(data, at)
        if element is None:
            break
        found.append(element)
        at = element.end
    return found


def _element(data: bytes, at: int) -> Element | None:
    group, number = struct.unpack_from("<HH", data, at)
    vr = data[at + 4 : at + 6]
    if vr in _LONG and at + 12 <= len(data):
        length, value = struct.unpack_from("<I", data, at + 8)[0], at + 12
    elif vr.isalpha() and vr.isupper():
        length, value = struct.unpack_from("<H", data, at + 6)[0], at + 8
    else:
        vr, length, value = b"", struct.unpack_from("<I", data, at + 4)[0], at + 8
    if length == _UNDEFINED:
        found = data.find(b"\xfe\xff\xdd\xe0\0\0\0\0", value)
        length = (found + 8 if found >= 0 else len(data)) - value
    if value + length > len(data):
        return None
    return Element((group << 16) + number, vr, at, value, value + length)


def _encode(like: bytes, tag: int, vr: bytes, value: bytes) -> bytes:
    """Return an element as explicit or, where `like` is empty, implicit VR."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if not like:
        return head + struct.pack("<I", len(value)) + value
    if vr in _LONG:
        return head + vr + b"\0\0" + struct.pack("<I", len(value)) + value
    if len(value) > 0xFFFF:
        return head + b"UN\0\0" + struct.pack("<I", len(value)) + value
    return head + vr + struct.pack("<H", len(value)) + value


def _place(data: bytes, random: Random) -> int:
    """Return an offset: mostly behind the preamble, and as often in the header as in the pixels."""
    limit = len(data)
    found = elements(data)
    pixels = next((one for one in found if one.tag == 0x7FE00010), None)
    if pixels is not None and random.random() < 0.5:
        return random.randrange(pixels.start, max(min(pixels.value + 200, limit), pixels.start + 1))
    if pixels is not None and random.random() < 0.5:
        return random.randrange(pixels.start, limit)
    return random.randrange(min(128, limit - 1), limit)


def _flip_bits(data: bytes, random: Random) -> bytes:
    copy = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        copy[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(copy)


def _set_bytes(data: bytes, random: Random) -> bytes:
    copy = bytearray(data)
    at = _place(data, random)
    for i in range(random.choice((1, 2, 4))):
        copy[min(at + i, len(copy) - 1)] = random.choice((*_INTERESTING, random.randrange(256)))
    return bytes(copy)


def _splice(data: bytes, random: Random) -> bytes:
    """Copy one stretch of the file over another, or between others."""
    start, length = _place(data, random), random.randint(1, 64)
    at = _place(data, random)
    behind = at + length if random.random() < 0.5 else at
    return data[:at] + data[start : start + length] + data[behind:]


def _cut_out(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + data[at + random.randint(1, 16) :]


def _insert(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.randbytes(random.randint(1, 16)) + data[at:]


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _corrupt_length(data: bytes, random: Random) -> bytes:
    found = elements(data)
    if not found:
        return _set_bytes(data, random)
    one = random.choice(found)
    length = random.choice(
        (0, 1, 3, 0xFFFF, 0xFFFE, 0x7FFFFFFF, 0xFFFFFFFE, _UNDEFINED, random.randrange(1 << 16))
    )
    if one.vr and one.vr not in _LONG:
        packed = struct.pack("<H", length & 0xFFFF)
    else:
        packed = struct.pack("<I", length)
    return data[: one.value - len(packed)] + packed + data[one.value :]


def _swap_vr(data: bytes, random: Random) -> bytes:
    found = [one for one in elements(data) if one.vr]
    if not found:
        return _flip_bits(data, random)
    one = random.choice(found)
    return data[: one.start + 4] + random.choice(_VRS) + data[one.start + 6 :]


def _recast(data: bytes, random: Random) -> bytes:
    """Give an element another VR and an encoding that goes with it, so that the file stays readable."""
    found = [one for one in elements(data) if one.vr and one.tag >> 16 > 2 and one.tag != 0x7FE00010]
    if not found:
        return _flip_bits(data, random)
    one = random.choice(found)
    new = _encode(b"x", one.tag, random.choice(_VRS[:-2]), data[one.value : one.end])
    return data[: one.start] + new + data[one.end :]


def _delete_element(data: bytes, random: Random) -> bytes:
    found = elements(data)
    if not found:
        return _cut_out(data, random)
    one = random.choice(found)
    return data[: one.start] + data[one.end :]


def _repeat_element(data: bytes, random: Random) -> bytes:
    found = elements(data)
    if not found:
        return _splice(data, random)
    one, where = random.choice(found), random.choice(found)
    return data[: where.start] + data[one.start : one.end] + data[where.start :]


def _set_value(data: bytes, random: Random) -> bytes:
    """Set an element to a hostile value, at the top level or, in place, wherever it stands."""
    tag, vr, values = random.choice(VALUES)
    return _with_value(data, tag, vr, random.choice(values), random)


def _with_value(data: bytes, tag: int, vr: bytes, value: bytes, random: Random) -> bytes:
    found = elements(data)
    if not found:
        return _set_bytes(data, random)
    nested = data.find(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr, 132)
    known = next((one for one in found if one.tag == tag), None)
    if known is None and nested >= 0:
        return _overwrite(data, nested, value)
    new = _encode(found[-1].vr, tag, vr, value)
    if known is not None:
        return data[: known.start] + new + data[known.end :]
    behind = next((one.start for one in found if one.tag > tag), found[-1].end)
    return data[:behind] + new + data[behind:]


def _overwrite(data: bytes, at: int, value: bytes) -> bytes:
    """Replace a nested value in place, cut or padded to its length."""
    element = _element(data, at)
    if element is None:
        return data
    length = element.end - element.value
    return data[: element.value] + value[:length].ljust(length) + data[element.end :]


def _nest(data: bytes, random: Random) -> bytes:
    """Put a sequence in a sequence in a sequence, of defined or undefined lengths."""
    depth = random.choice((3, 40, 400, 3000))
    tag = random.choice((0x00081140, 0x00082112, 0x00091001, 0x52009229, 0x52009230, 0x00540022))
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"SQ\0\0"
    if random.random() < 0.5:
        opening = head + b"\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
        closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        return _inserted(data, tag, opening * depth + closing * depth)
    inner = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
        inner = head + struct.pack("<I", len(item)) + item
    return _inserted(data, tag, inner)


def _inserted(data: bytes, tag: int, new: bytes) -> bytes:
    found = elements(data)
    behind = next((one.start for one in found if one.tag >= tag), len(data))
    return data[:behind] + new + data[behind:]


def _damage_pixels(data: bytes, random: Random) -> bytes:
    """Damage the pixel data alone: the markers and headers of a codestream lie at its start."""
    found = [one for one in elements(data) if one.tag == 0x7FE00010]
    if not found or found[0].end <= found[0].value:
        return _flip_bits(data, random)
    copy = bytearray(data)
    reach = min(found[0].end, found[0].value + random.choice((40, 400, 1 << 20)))
    for _ in range(random.choice((1, 2, 8))):
        copy[random.randrange(found[0].value, reach)] = random.choice(
            (*_INTERESTING, random.randrange(256), 0xFF, 0xD9, 0xDA, 0xC4)
        )
    return bytes(copy)


_CHANGES: dict[Callable[[bytes, Random], bytes], int] = {
    _flip_bits: 10,
    _set_bytes: 10,
    _splice: 6,
    _cut_out: 4,
    _insert: 4,
    _truncate: 5,
    _corrupt_length: 8,
    _swap_vr: 6,
    _recast: 6,
    _delete_element: 8,
    _repeat_element: 3,
    _set_value: 40,
    _nest: 2,
    _damage_pixels: 12,
}
_WEIGHTED = (list(_CHANGES), list(_CHANGES.values()))


def names() -> Iterator[str]:
    """Yield what the kinds of damage are called."""
    for change in _CHANGES:
        yield change.__name__.strip("_")
