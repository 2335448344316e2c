"""Live programs: info, code, and what describes the code (linux/bpf.h, struct bpf_prog_info)."""

from __future__ import annotations

import ctypes

from ..errors import KernelError
from ..kernel import bpf, libbpf, uapi
from .handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.reader import Btf as Reader

MAX_KERNEL_NAME = 15

# array in prog_info → field with its length, size of an element (a field's name where the kernel says it)
ARRAYS: dict[str, tuple[str, int | str]] = {
    "map_ids": ("nr_map_ids", 4),
    "xlated_prog_insns": ("xlated_prog_len", 1),
    "jited_prog_insns": ("jited_prog_len", 1),
    "jited_ksyms": ("nr_jited_ksyms", 8),
    "jited_func_lens": ("nr_jited_func_lens", 4),
    "func_info": ("nr_func_info", "func_info_rec_size"),
    "line_info": ("nr_line_info", "line_info_rec_size"),
    "jited_line_info": ("nr_jited_line_info", "jited_line_info_rec_size"),
    "prog_tags": ("nr_prog_tags", 8),
}


DEFAULT_ROOM = 32 << 10  # bytes for each output of a test run
SIMPLE_RUNS = frozenset(("syscall", "raw_tracepoint"))  # take a context only, and change it in its place


class TestRun:
    """What a test run gave: data and context after it, the program's return value, its mean time in nanoseconds."""

    __slots__ = ("ctx", "data", "duration_ns", "retval")

    def __init__(self, data: bytes, ctx: bytes, retval: int, duration_ns: int) -> None:
        self.data = data
        self.ctx = ctx
        self.retval = retval
        self.duration_ns = duration_ns


class Prog(Handle):
    """A loaded program."""

    KIND = bpf.PROG
    NOUN = "program"
    BY_ID = "get by id ({})"
    INFO = uapi.prog_info

    @property
    def type(self) -> str:
        """"xdp", "kprobe", …; a type that is newer than this program as its number."""
        return name_of(uapi.PROG_TYPES, self.info.type)

    @property
    def tag(self) -> str:
        """SHA-1 of the code, the first 8 bytes in hex."""
        return bytes(self.info.tag).hex()

    @property
    def full_name(self) -> str:
        """The function's name from BTF where the kernel's is cut, else the kernel's."""
        if len(self.info.name) < MAX_KERNEL_NAME or not self.info.btf_id or not self.info.nr_func_info:
            return self.name
        type_id = memoryview(self.array("func_info")).cast("I")[1]
        types = self.types()
        return (types.name(type_id) if types else "") or self.name

    def arrays(self, *names: str) -> dict[str, bytes]:
        """Rows of ARRAYS as raw bytes, fetched in one call; empty ones where the kernel has, or shows, nothing."""
        fields: dict[str, int] = {}
        buffers = {}
        for name in names:
            length_field, size = ARRAYS[name]
            count = getattr(self.info, length_field)
            if isinstance(size, str):
                fields[size] = getattr(self.info, size)
                size = fields[size]
            buffers[name] = ctypes.create_string_buffer(max(count * size, 1))
            if count:
                fields |= {name: ctypes.addressof(buffers[name]), length_field: count}
        try:
            info = self.read_info(**fields)
        except OSError as error:
            raise KernelError(f"can't get prog info ({self.id})", error.errno or 0, status=255) from None
        # The kernel clears the pointer of what it does not show (kptr_restrict, no permission).
        shown = {name for name in names if fields.get(name) and getattr(info, name)}
        return {name: buffer.raw if name in shown else b"" for name, buffer in buffers.items()}

    def array(self, name: str) -> bytes:
        """One row of ARRAYS as raw bytes."""
        return self.arrays(name)[name]

    @property
    def map_ids(self) -> list[int]:
        """Ids of the maps that the program uses, in the kernel's order."""
        return memoryview(self.array("map_ids")).cast("I").tolist() if self.info.nr_map_ids else []

    def types(self) -> Reader | None:
        """The types that came with the program, None without BTF."""
        if not self.info.btf_id:
            return None
        from .btf import Btf

        with Btf.from_id(self.info.btf_id) as btf:
            return btf.reader()

    def test_run(
        self, data: bytes = b"", ctx: bytes = b"", *, repeat: int = 1, data_room: int | None = None, ctx_room: int = 0
    ) -> TestRun:
        """Run the program in the kernel on this data and context (the kernel's Documentation/bpf/bpf_prog_run.rst).

        repeat: how often. data_room, ctx_room: bytes for what comes out, 0 for none; by default there is room for data
        where some went in. KernelError with the errno of the call, ENOSPC when there is too little room.
        """
        if data_room is None:
            data_room = DEFAULT_ROOM if data else 0
        simple = self.type in SIMPLE_RUNS
        data_out = ctypes.create_string_buffer(0 if simple else data_room)
        ctx_in = ctypes.create_string_buffer(ctx, len(ctx))
        ctx_out = ctypes.create_string_buffer(0 if simple else ctx_room)
        opts = libbpf.opts(
            libbpf.test_run_opts,
            data_in=data or None,
            data_size_in=len(data),
            data_out=_address(data_out),
            data_size_out=len(data_out),
            ctx_in=_address(ctx_in),
            ctx_size_in=len(ctx_in),
            ctx_out=_address(ctx_out),
            ctx_size_out=len(ctx_out),
            repeat=0 if simple and repeat == 1 else repeat,
        )
        try:
            libbpf.call("bpf_prog_test_run_opts", self.fd, ctypes.byref(opts))
        except OSError as error:
            raise KernelError("failed to run program", error.errno or 0) from None
        ctx_found = ctx_in.raw if simple else ctx_out.raw[: opts.ctx_size_out]
        return TestRun(data_out.raw[: opts.data_size_out], ctx_found, opts.retval, opts.duration)

    def is_named(self, name: str) -> bool:
        """Whether this is the program's full name."""
        return bool(self.info.name == name.encode()[:MAX_KERNEL_NAME] and self.full_name == name)


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int | None:
    return ctypes.addressof(buffer) if len(buffer) else None


def name_of(table: tuple[str, ...], value: int) -> str:
    """The name of a number in a table, or the number."""
    return table[value] if value < len(table) else str(value)

