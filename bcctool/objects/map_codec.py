"""Keys and values of maps as Python objects: by BTF, or as bytes and integers in the machine's byte order."""

from __future__ import annotations

import sys

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..btf.reader import Btf

INT_SIZES = (1, 2, 4, 8)


class Codec:
    """One side of a map, `noun` in messages: `size` bytes of the type with this id, 0 for just bytes."""

    def __init__(self, noun: str, size: int, types: Btf | None, type_id: int) -> None:
        self.noun = noun
        self.size = size
        self.types = types if type_id else None
        self.type_id = type_id
        self._decode: Callable[[bytes], Any] | None = None

    def decode(self, data: bytes) -> Any:
        """The Python object for `size` bytes."""
        if self.types is None:
            return data
        if self._decode is None:
            from ..btf.python import decoder

            self._decode = decoder(self.types, self.type_id)
        return self._decode(data)

    def encode(self, value: Any) -> bytes:
        """`size` bytes for a Python object. Error when it does not fit."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
        elif self.types is not None:
            from ..btf.python import encode

            data = encode(self.types, self.type_id, value, self.noun)
        elif isinstance(value, int) and self.size in INT_SIZES:
            try:
                data = value.to_bytes(self.size, sys.byteorder, signed=value < 0)
            except OverflowError:
                raise Error(f"{self.noun} {value} does not fit into {self.size} bytes") from None
        else:
            raise Error(f"a {self.noun} of {self.size} bytes can't be made of {type(value).__name__} without BTF")
        if len(data) != self.size:
            raise Error(f"{self.noun} expected {self.size} bytes got {len(data)}")
        return data
