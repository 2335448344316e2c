"""`btf dump format c`: BTF as a C header, printed by libbpf's btf_dump__*; the frame is ours."""

from __future__ import annotations

import ctypes
import os
import struct
from array import array

from ..errors import GENERIC, Error, Malformed
from ..kernel import libbpf
from . import kinds
from .kinds import kind_flag_of
from .order import Order
from .reader import HEADER_LEN
from .validate import validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .reader import Btf

KFUNC, FASTCALL = "bpf_kfunc", "bpf_fastcall"  # declaration tags
WHOLE = -1  # component_idx of a tag on the declaration itself
MAX_VLEN = 0xFFFF
BUFFER_SIZE = 1 << 16
PRINTABLE = b"\t\n" + bytes(range(0x20, 0x7F))

HEADER = """\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

#ifndef __bpf_fastcall
#if __has_attribute(bpf_fastcall)
#define __bpf_fastcall __attribute__((bpf_fastcall))
#else
#define __bpf_fastcall
#endif
#endif

"""
KFUNCS_START = "\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n"
KFUNCS_END = "#endif\n\n"
FOOTER = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
"""


class _DeclOpts(ctypes.Structure):
    """struct btf_dump_emit_type_decl_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("field_name", ctypes.c_char_p),
        ("indent_level", ctypes.c_int),
        ("strip_mods", ctypes.c_bool),
    )


def c_header(btf: Btf, roots: Iterable[int] | None = None, sort: bool = True, trusted: bool = False) -> bytes:
    """A blob and its base as the text of a C header.

    roots: only these ids and what they need, without kfuncs; else all, in bpftool's order or, with sort=False, by id.
    trusted: the kernel made or accepted the blob, so that it needs no check of ours before C code reads it.
    Raises Malformed for an unsound blob, Error when libbpf cannot print a type.
    """
    if not trusted:
        _check(btf)
    order = Order(btf)
    ids = list(roots) if roots is not None else order.sorted() if sort else order.by_id()
    bundles, requests = _bundled(ids, order.nameless_enums(), btf.nr_types)
    with _Printer(btf, bundles) as printer:
        printer.write(HEADER)
        printer.types(requests)
        if roots is None:
            printer.kfuncs(order.of_kinds(kinds.DECL_TAG))
        printer.write(FOOTER)
        text = printer.text()
    if not trusted and text.translate(None, PRINTABLE):
        raise Malformed(btf.where, "strings", "a name holds characters that C cannot have: use format raw")
    return _modern(text, btf, order.of_kinds(kinds.TYPE_TAG))


def _modern(text: bytes, btf: Btf, tags: list[int]) -> bytes:
    """What older libbpfs print otherwise: `()` for no parameters, every type tag as btf_type_tag, attributes too."""
    text = b"(void)".join(text.split(b"()"))  # twice as fast as replace(), which counts first
    for name_offset, info, _ in map(btf.head, tags):
        if kind_flag_of(info):
            name = btf.raw_string(name_offset)
            text = text.replace(b'btf_type_tag("%b")' % name, name)
    return text


def _check(btf: Btf) -> None:
    if btf.base is not None:
        _check(btf.base)
    validate(btf)


def _bundled(ids: list[int], nameless_enums: Iterable[int], next_id: int) -> tuple[array[int], list[int]]:
    """Prototypes whose parameters are these types, as words to append to the blob, and what to ask for instead.

    One request then prints thousands of types without a call from Python for each. An enum without a name has to be
    asked for itself: it is printed only if nothing refers to it.
    """
    words, requests = array("I"), []
    alone = set(nameless_enums)
    stops = [at for at, id in enumerate(ids) if id in alone]
    for start, stop in zip((0, *[at + 1 for at in stops]), (*stops, len(ids)), strict=True):
        for at in range(start, stop, MAX_VLEN):
            parameters = array("I", bytes(8 * min(MAX_VLEN, stop - at)))
            parameters[1::2] = array("I", ids[at : min(at + MAX_VLEN, stop)])
            words.extend((0, kinds.FUNC_PROTO << 24 | len(parameters) // 2, 0))
            words.extend(parameters)
            requests.append(next_id)
            next_id += 1
        requests += ids[stop : stop + 1]
    return words, requests


def _joined(btf: Btf, more: array[int]) -> bytes:
    """The blob, its base and further types as one blob in native byte order.

    Ids and string offsets of split BTF continue the base's, so nothing moves. (libbpf before 1.4 does not export what
    makes a handle of a split blob in memory.)
    """
    types = [*[blob.words for blob in btf.chain()], memoryview(more)]
    strings = [blob.strings for blob in btf.chain()]
    areas = 0, sum([part.nbytes for part in types]), sum([part.nbytes for part in types]), sum(map(len, strings))
    return b"".join([struct.pack("=HBBIIIII", 0xEB9F, 1, 0, HEADER_LEN, *areas), *types, *strings])


class _Printer:
    """libbpf's printer for one blob and further types; it prints to a C stream over an anonymous file."""

    def __init__(self, btf: Btf, more: array[int]) -> None:
        self.btf = btf
        libc = self.libc = ctypes.CDLL(None, use_errno=True)
        libc.fdopen.restype = ctypes.c_void_p
        self.stream = ctypes.c_void_p()
        self.handle = self.dump = 0
        data = _joined(btf, more)
        self.handle = self.made(libbpf.function("btf__new")(data, len(data)))
        try:
            self.fd = os.memfd_create("btf.h")
            self.stream.value = self.made(libc.fdopen(self.fd, b"w"))
            libc.setvbuf(self.stream, None, 0, ctypes.c_size_t(BUFFER_SIZE))
            vfprintf = ctypes.cast(libc.vfprintf, ctypes.c_void_p)
            self.dump = self.made(libbpf.function("btf_dump__new")(self.handle, vfprintf, self.stream, None))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> _Printer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def text(self) -> bytes:
        """What was printed so far."""
        if self.libc.fflush(self.stream):
            errno = ctypes.get_errno()
            raise OSError(errno, os.strerror(errno))
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)

    def made(self, handle: int | None) -> int:
        if not handle:
            errno = ctypes.get_errno()
            raise Error(f"{self.btf.where}: libbpf cannot read it: {os.strerror(errno)}", -errno % 256 or GENERIC)
        return handle

    def failed(self, what: str, errno: int) -> Error:
        return Error(f"{self.btf.where}: libbpf cannot {what}: {os.strerror(errno)}", -errno % 256)

    def close(self) -> None:
        if self.dump:
            libbpf.function("btf_dump__free")(self.dump)
        libbpf.function("btf__free")(self.handle)
        if self.stream:
            self.libc.fclose(self.stream)

    def write(self, text: str) -> None:
        self.libc.fputs(text.encode(), self.stream)

    def types(self, requests: Iterable[int]) -> None:
        dump_type, dump = libbpf.function("btf_dump__dump_type"), self.dump
        for id in requests:
            result = dump_type(dump, id)
            if result < 0:
                raise self.failed("print its types as C", -result)

    def kfuncs(self, tags: list[int]) -> None:
        """Declarations of the functions that BPF programs may call in the kernel."""
        tagged: dict[str, set[int]] = {KFUNC: set(), FASTCALL: set()}
        for id in tags:
            tag = self.btf.type(id)
            if tag.name in tagged and tag.entries == (WHOLE,) and self.btf.kind(tag.type_id) == kinds.FUNC:
                tagged[tag.name].add(tag.type_id)
        self.write(KFUNCS_START)
        for name, id in sorted((self.btf.name(id), id) for id in tagged[KFUNC]):
            self.write("extern __bpf_fastcall " if id in tagged[FASTCALL] else "extern ")
            opts = libbpf.opts(_DeclOpts, field_name=name.encode())
            result = libbpf.function("btf_dump__emit_type_decl")(
                self.dump, self.btf.type(id).type_id, ctypes.byref(opts)
            )
            if result < 0:
                raise self.failed(f"declare {name}()", -result)
            self.write(" __weak __ksym;\n")
        self.write(KFUNCS_END)
