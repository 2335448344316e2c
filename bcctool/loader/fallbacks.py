"""What older kernels lack, found out by asking them, and BTF rewritten so that they take it (the kernel's btf.rst).

Types that a kernel does not know become older kinds under the same ids, so that whatever refers to them still does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from array import array

from ..btf import kinds
from ..btf.kinds import HEAD_WORDS, kind_flag_of, kind_of, vlen_of
from ..btf.reader import HEADER_LEN, MAX_SIZE, Btf
from ..errors import Malformed
from ..kernel import bpf, libbpf, uapi
from ..kernel.probe import EXIT, MOV, insn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC, VERSION = 0xEB9F, 1
KIND_FLAG = 1 << 31
BITS_8, BITS_32 = 8, 32
LINKAGE_GLOBAL = 1
PLACEHOLDER = b"enumerator"  # name of the type that members have that were enumerators of 64 bits
NAMELESS = b"_"
MAX_MEMBER_OFFSET = MAX_SIZE // 8  # bytes: a member's place is counted in bits
WHOLE_TYPE = 0xFFFFFFFF  # component_idx of a tag that is not about a member or parameter

FUNC, DATASEC, FUNC_GLOBAL, FLOAT = "func", "datasec", "func_global", "float"
DECL_TAG, TYPE_TAG, ENUM64, TAG_FLAG = "decl_tag", "type_tag", "enum64", "tag_kind_flag"


def sanitized_btf(data: bytes, takes: Callable[[str], bool]) -> bytes:
    """BTF without the kinds that the kernel does not take; ids stay as they are, strings and types may be added.

    data: a valid blob without a base. takes: says whether the kernel takes one of BTF_FEATURES; it is asked about what
    the blob has. A blob that needs no change comes back as it is.
    """
    btf = Btf(data)
    refused = {feature for feature in _used(btf) if not takes(feature)}
    return _Rewriter(btf, refused).rewritten() if refused else data


def _used(btf: Btf) -> list[str]:
    """The features that a blob's types need."""
    infos = set(btf.column(1)[1:])
    found = {_FEATURE_OF_KIND[kind_of(info)] for info in infos if kind_of(info) in _FEATURE_OF_KIND}
    if any(kind_of(info) == kinds.FUNC and vlen_of(info) for info in infos):
        found.add(FUNC_GLOBAL)
    if any(kind_of(info) in (kinds.DECL_TAG, kinds.TYPE_TAG) and kind_flag_of(info) for info in infos):
        found.add(TAG_FLAG)
    if any(kind_of(info) == kinds.ENUM and kind_flag_of(info) for info in infos):
        found.add(ENUM64)  # signed enums came with them
    return [feature for feature in BTF_FEATURES if feature in found]


_FEATURE_OF_KIND = {
    kinds.FUNC: FUNC,
    kinds.FUNC_PROTO: FUNC,
    kinds.VAR: DATASEC,
    kinds.DATASEC: DATASEC,
    kinds.FLOAT: FLOAT,
    kinds.DECL_TAG: DECL_TAG,
    kinds.TYPE_TAG: TYPE_TAG,
    kinds.ENUM64: ENUM64,
}

Words = list[int]


class _Rewriter:
    """Writes a blob anew, type by type; what types are changed into is a row of _CHANGES."""

    def __init__(self, btf: Btf, refused: set[str]) -> None:
        self.btf = btf
        self.refused = refused
        self.strings = bytearray(btf.strings)
        self.added: dict[bytes, int] = {}
        self.extra: Words = []
        self.next_id = btf.nr_types
        self.ints: dict[int, int] = {}  # size → id of an integer that was added
        self.kinds = btf.kinds()

    def rewritten(self) -> bytes:
        words: Words = []
        for id in range(1, self.btf.nr_types):
            words += self.type(id)
        words += self.extra
        types = array("I", words)
        order = "<" if self.btf.byteorder == "little" else ">"
        body = struct.pack(f"{order}{len(types)}I", *types)
        header = struct.pack(
            f"{order}HBBIIIII", MAGIC, VERSION, 0, HEADER_LEN, 0, len(body), len(body), len(self.strings)
        )
        return header + body + bytes(self.strings)

    def type(self, id: int) -> Words:
        """The words of a type as the kernel takes them."""
        words = self.btf.words_of(id)
        kind = self.kinds[id]
        change = _CHANGES.get(kind)
        return change(self, words) if change else words

    def without(self, *features: str) -> bool:
        return any(feature in self.refused for feature in features)

    def string(self, text: bytes) -> int:
        """The offset of a string."""
        if text not in self.added:
            self.added[text] = len(self.strings)
            self.strings += text + b"\0"
        return self.added[text]

    def identifier(self, offset: int, unnamed: int = 0) -> int:
        """The offset of a name that is an identifier of C, as like to a given one as may be."""
        name = self.btf.raw_string(offset) if offset else b""
        if not name:
            return unnamed
        if _is_identifier(name):
            return offset
        cleaned = [byte if _is_identifier(b"_%c" % byte) else NAMELESS[0] for byte in name]
        return self.string(NAMELESS[: name[:1].isdigit()] + bytes(cleaned))

    def integer(self, size: int) -> int:
        """The id of an unsigned integer of so many bytes."""
        if size not in self.ints:
            self.ints[size] = self.next_id
            self.next_id += 1
            self.extra += [self.string(PLACEHOLDER), kinds.INT << 24, size, size * BITS_8]
        return self.ints[size]

    def function(self, words: Words) -> Words:
        name, _, target = words
        if self.without(FUNC):
            return [self.identifier(name, self.string(NAMELESS)), kinds.TYPEDEF << 24, target]
        return [name, kinds.FUNC << 24, target] if self.without(FUNC_GLOBAL) else words

    def prototype(self, words: Words) -> Words:
        """A prototype's parameters and an enum's constants are both a name and a word."""
        if not self.without(FUNC):
            return words
        entries = words[HEAD_WORDS:]
        for at in range(0, len(entries), 2):
            entries[at] = self.identifier(entries[at], self.string(NAMELESS))
        return [0, kinds.ENUM << 24 | len(entries) // 2, 4, *entries]

    def variable(self, words: Words) -> Words:
        return [words[0], kinds.INT << 24, 1, BITS_8] if self.without(DATASEC) else words

    def section(self, words: Words) -> Words:
        """A struct whose members are the variables."""
        name, _, size, *entries = words
        if not self.without(DATASEC) and not (self.without(FUNC) and self.has_functions(entries)):
            return words
        members: Words = []
        for type_id, offset, room in sorted(_triples(entries), key=_by_offset):
            if self.kinds[type_id] != kinds.VAR or offset + room > min(size, MAX_MEMBER_OFFSET):
                continue
            var_name, _, target, *_ = self.btf.words_of(type_id)
            member_id = target if self.fits(target, room) else self.integer(1)
            members += [self.identifier(var_name), member_id, offset * BITS_8]
        return [self.identifier(name), kinds.STRUCT << 24 | len(members) // 3, size, *members]

    def has_functions(self, entries: Words) -> bool:
        return any(self.kinds[type_id] != kinds.VAR for type_id in entries[0::3])

    def fits(self, id: int, room: int) -> bool:
        """Whether a member of a type takes no more than so many bytes."""
        try:
            return self.btf.size_of(id) <= room
        except Malformed:
            return False  # it has no size

    def float(self, words: Words) -> Words:
        return [self.identifier(words[0]), kinds.STRUCT << 24, words[2]] if self.without(FLOAT) else words

    def declaration_tag(self, words: Words) -> Words:
        """An integer, if the tag or what it is on is not known; nothing refers to it."""
        target = self.kinds[words[2]]
        on_changed = (target == kinds.FUNC and self.without(FUNC)) or (target == kinds.VAR and self.without(DATASEC))
        if self.without(DECL_TAG) or on_changed or (kind_flag_of(words[1]) and self.without(TAG_FLAG)):
            return [words[0], kinds.INT << 24, 1, BITS_8]
        return words

    def type_tag(self, words: Words) -> Words:
        if self.without(TYPE_TAG) or (kind_flag_of(words[1]) and self.without(TAG_FLAG)):
            return [0, kinds.CONST << 24, words[2]]
        return words

    def enum(self, words: Words) -> Words:
        return [words[0], words[1] & ~KIND_FLAG, *words[2:]] if self.without(ENUM64) else words

    def enum64(self, words: Words) -> Words:
        """A union whose members are called as the constants."""
        if not self.without(ENUM64):
            return words
        name, info, size, *entries = words
        members: Words = []
        for constant in entries[0::3]:
            members += [constant, self.integer(size), 0]
        return [name, kinds.UNION << 24 | vlen_of(info), size, *members]

    def composite(self, words: Words) -> Words:
        """A bitfield can't be a union, so an integer takes the place of an enum of 64 bits."""
        if not self.without(ENUM64) or not kind_flag_of(words[1]):
            return words
        for at in range(HEAD_WORDS, len(words), 3):
            id = self.btf.resolve(words[at + 1])
            if words[at + 2] >> 24 and self.kinds[id] == kinds.ENUM64:
                words[at + 1] = self.integer(self.btf.size_of(id))
        return words


_CHANGES: dict[int, Callable[[_Rewriter, Words], Words]] = {
    kinds.STRUCT: _Rewriter.composite,
    kinds.UNION: _Rewriter.composite,
    kinds.ENUM: _Rewriter.enum,
    kinds.FUNC: _Rewriter.function,
    kinds.FUNC_PROTO: _Rewriter.prototype,
    kinds.VAR: _Rewriter.variable,
    kinds.DATASEC: _Rewriter.section,
    kinds.FLOAT: _Rewriter.float,
    kinds.DECL_TAG: _Rewriter.declaration_tag,
    kinds.TYPE_TAG: _Rewriter.type_tag,
    kinds.ENUM64: _Rewriter.enum64,
}


def _is_identifier(name: bytes) -> bool:
    return name.isascii() and name.decode("ascii").isidentifier()


def _triples(words: Words) -> list[tuple[int, int, int]]:
    return list(zip(words[0::3], words[1::3], words[2::3], strict=True))


def _by_offset(entry: tuple[int, int, int]) -> int:
    return entry[1]


def _blob(*types: Words) -> bytes:
    """A blob of a 32-bit integer [1] and more types; there is a name "a" at offset 1, ".bss" at 3."""
    strings = b"\0a\0.bss\0"
    words = [1, kinds.INT << 24, 4, BITS_32, *[word for type_ in types for word in type_]]
    header = struct.pack("=HBBIIIII", MAGIC, VERSION, 0, HEADER_LEN, 0, len(words) * 4, len(words) * 4, len(strings))
    return header + struct.pack(f"={len(words)}I", *words) + strings


_PROTO = [0, kinds.FUNC_PROTO << 24, 0]
BTF_FEATURES = {
    FUNC: _blob(_PROTO, [1, kinds.FUNC << 24, 2]),
    DATASEC: _blob([1, kinds.VAR << 24, 1, 0], [3, kinds.DATASEC << 24 | 1, 4, 2, 0, 4]),
    FUNC_GLOBAL: _blob(_PROTO, [1, kinds.FUNC << 24 | LINKAGE_GLOBAL, 2]),
    FLOAT: _blob([1, kinds.FLOAT << 24, 4]),
    DECL_TAG: _blob([1, kinds.STRUCT << 24, 0], [1, kinds.DECL_TAG << 24, 2, WHOLE_TYPE]),
    TYPE_TAG: _blob([1, kinds.TYPE_TAG << 24, 1], [0, kinds.PTR << 24, 2]),
    ENUM64: _blob([1, kinds.ENUM64 << 24 | 1, 8, 1, 1, 0]),
    TAG_FLAG: _blob([1, kinds.TYPE_TAG << 24 | KIND_FLAG, 1], [0, kinds.PTR << 24, 2]),
}
"""Blobs that only a kernel with the feature takes, the oldest first."""

_answers: dict[str, bool] = {}


def takes(feature: str) -> bool:
    """Whether the running kernel has one of BTF_FEATURES or FEATURES; it is asked once per process.

    Who may not ask is told yes: the kernel will say itself what is not permitted.
    """
    if feature not in _answers:
        blob = BTF_FEATURES.get(feature)
        try:
            os.close(FEATURES[feature]() if blob is None else libbpf.call("bpf_btf_load", blob, len(blob), None))
        except OSError as error:
            if error.errno == errno.EPERM:
                return True
            _answers[feature] = False
        else:
            _answers[feature] = True
    return _answers[feature]


_CODE = insn(MOV) + insn(EXIT)
_LD_IMM64, _PSEUDO_MAP_VALUE = 0x18, 2
_ARRAY = uapi.MAP_TYPES.index("array")


def _array(flags: int = 0) -> int:
    """The descriptor of a small array."""
    return libbpf.call(
        "bpf_map_create", _ARRAY, None, 4, 4, 1, ctypes.byref(libbpf.opts(libbpf.map_create_opts, map_flags=flags))
    )


def _frozen_map() -> int:
    fd = _array()
    try:
        libbpf.call("bpf_map_freeze", fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _named_prog() -> int:
    """Asked of the kernel itself: libbpf drops the name where it has found out that names are not taken."""
    code, license = ctypes.create_string_buffer(_CODE, len(_CODE)), ctypes.create_string_buffer(b"GPL")
    attr = uapi.attr_prog_load(
        prog_type=uapi.PROG_TYPES.index("socket_filter"), insn_cnt=len(_CODE) // 8, prog_name=b"probe",
        insns=ctypes.addressof(code), license=ctypes.addressof(license),
    )  # fmt: skip
    return bpf.bpf(uapi.BPF_PROG_LOAD, attr)


def _prog(type: str, code: bytes, attach_type: str = "") -> int:
    """The descriptor of a program."""
    number = uapi.ATTACH_TYPES.index(attach_type) if attach_type else 0
    opts = libbpf.opts(libbpf.prog_load_opts, expected_attach_type=number)
    type_number = uapi.PROG_TYPES.index(type)
    return libbpf.call("bpf_prog_load", type_number, None, b"GPL", code, len(code) // 8, ctypes.byref(opts))


def _global_data_prog() -> int:
    fd = _array()
    try:
        return _prog("socket_filter", insn(_LD_IMM64, _PSEUDO_MAP_VALUE << 4 | 1, 0, fd) + insn(0) + _CODE)
    finally:
        os.close(fd)


def _uprobe_multi() -> int:
    """A kernel that knows such links looks at the file first, which is none here."""
    fd = _prog("kprobe", _CODE, "trace_uprobe_multi")
    path, offsets = ctypes.create_string_buffer(b"/"), (ctypes.c_uint64 * 1)(0)
    fields = {"path": ctypes.addressof(path), "offsets": ctypes.addressof(offsets), "cnt": 1}
    try:
        os.close(bpf.link_create(fd, 0, uapi.ATTACH_TYPES.index("trace_uprobe_multi"), uprobe_multi=fields))
    except OSError as error:
        if error.errno != errno.EBADF:
            os.close(fd)
            raise
    return fd


FEATURES: dict[str, Callable[[], int]] = {
    "prog_name": _named_prog,  # 4.15
    "expected_attach_type": lambda: _prog("cgroup_sock", insn(MOV, imm=1) + insn(EXIT), "cgroup_inet_sock_create"),
    "global_data": _global_data_prog,  # 5.2, as the two below
    "map_freeze": _frozen_map,
    "rdonly_prog": lambda: _array(uapi.BPF_F_RDONLY_PROG),
    "mmapable": lambda: _array(uapi.BPF_F_MMAPABLE),  # 5.5
    "inner_map": lambda: _array(uapi.BPF_F_INNER_MAP),  # 5.10
    "uprobe_multi": _uprobe_multi,  # 6.6
}
"""What makes a descriptor only on a kernel with the feature."""
