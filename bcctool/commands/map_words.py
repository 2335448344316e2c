"""The words that stand for a map's entry: `key BYTES`, `value BYTES|MAP|PROG`, and how to update it."""

from __future__ import annotations

import sys

from ..errors import Error
from ..kernel import uapi
from ..verbs import parse_number
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..objects.map import Map
    from ..objects.prog import Prog
    from ..verbs import Args

UPDATE_FLAGS = {"any": uapi.BPF_ANY, "noexist": uapi.BPF_NOEXIST, "exist": uapi.BPF_EXIST}
FD_SIZE = 4
_BY_ID_WARNING = """\
Warning: updating program array via MAP_ID, make sure this map is kept open
         by some process or pinned otherwise update will be lost
"""


class Entry:
    """What the words after MAP say: `key` and `value` as bytes (None: not given) and the update's `flags`.

    A value that is a map or program is its descriptor, which is open until close().
    """

    def __init__(self, args: Args, map_: Map, *, with_value: bool = False) -> None:
        """Take all words. with_value: whether the verb takes a value and flags; the key is up to the map."""
        self.key: bytes | None = None
        self.value: bytes | None = None
        self.flags = uapi.BPF_ANY
        self._handle: Map | Prog | None = None
        flags_given = False
        keywords = ("key", "value", *UPDATE_FLAGS) if with_value else ("key", "value")
        while args:
            word = args.accept(*keywords)
            if word is None:
                raise Error(f"expected key or value, got: {args.peek()}")
            if word in UPDATE_FLAGS:
                if flags_given:
                    raise Error(f"flags specified multiple times: {word}")
                self.flags, flags_given = UPDATE_FLAGS[word], True
            elif word == "key":
                self._take_key(args, map_)
            else:
                self._take_value(args, map_, with_value)

    def _take_key(self, args: Args, map_: Map) -> None:
        if self.key is not None:
            raise Error("duplicate key")
        if not map_.info.key_size and args:
            raise Error("unnecessary key")
        self.key = take_bytes(args, "key", map_.info.key_size)

    def _take_value(self, args: Args, map_: Map, wanted: bool) -> None:
        if not wanted:
            raise Error("unnecessary value")
        if self.value is not None:
            raise Error("duplicate value")
        pick = _PICK.get(map_.type)
        if pick:
            if len(args) < 2:
                what = "map of progs" if map_.type == "prog_array" else "map in map"
                raise Error(f"not enough value arguments for {what}")
            if map_.info.value_size != FD_SIZE:
                raise Error(f"the values of a {map_.type} have {FD_SIZE} bytes, not {map_.info.value_size}")
            self._handle = pick(args)
            self.value = self._handle.fd.to_bytes(FD_SIZE, sys.byteorder)
        else:
            value = take_bytes(args, "value", map_.info.value_size)
            self.value = value.ljust(map_.value_stride, b"\0") * (map_.cpus or 1)

    def needed_key(self, map_: Map) -> bytes:
        """The key, empty for a map without keys. Error when it is missing."""
        if self.key is None and map_.info.key_size:
            raise Error("did not find key")
        return self.key or b""

    def needed_value(self, map_: Map) -> bytes:
        """The value, empty for a map without values. Error when it is missing."""
        if self.value is None and map_.info.value_size:
            raise Error("did not find value")
        return self.value or b""

    def close(self) -> None:
        """Close the descriptor of a value that is a map or program."""
        if self._handle:
            self._handle.close()


def _prog(args: Args) -> Prog:
    if args.peek() and "id".startswith(args.peek()) and args.options.style == "plain":
        sys.stderr.write(_BY_ID_WARNING)
    return select.prog(args)


_PICK: dict[str, Callable[[Args], Map | Prog]] = {
    "prog_array": _prog,
    "array_of_maps": select.map_,
    "hash_of_maps": select.map_,
}
"""Map types whose values are objects, and what takes the words that pick one."""


def take_bytes(args: Args, what: str, size: int) -> bytes:
    """Take `size` words: bytes in decimal, 0x hex or 0 octal; all in hex after the word `hex`."""
    base = 16 if size and args.accept("hex") else 0
    data = bytearray()
    while len(data) < size:
        if not args:
            raise Error(f"{what} expected {size} bytes got {len(data)}")
        data.append(byte(args.next(), bool(base)))
    return bytes(data)


def byte(word: str, in_hex: bool) -> int:
    """A byte of a key or value; in_hex: without a prefix it is hex too. Error for anything else."""
    value = _hex(word) if in_hex else parse_number(word)
    if value is None:
        raise Error(f"error parsing byte: {word}")
    if value > 0xFF:
        raise Error(f"value {word} is out of range for a byte: 0..255")
    return value


def _hex(word: str) -> int | None:
    digits = word[2:] if word[:2] in ("0x", "0X") else word
    return int(digits, 16) if digits and all(char in "0123456789abcdefABCDEF" for char in digits) else None
