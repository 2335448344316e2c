"""cgroup: programs attached to cgroups of version 2, and attaching them there."""

from __future__ import annotations

import errno
import os

from ..errors import Error, KernelError
from ..escapes import printable
from ..objects import btf, cgroup
from ..objects.prog import Prog
from ..output import Listing
from ..verbs import Args, one_of, verb
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HELP = """
ATTACH_TYPE := { cgroup_inet_ingress | cgroup_inet_egress |
                 cgroup_inet_sock_create | cgroup_inet_sock_release |
                 cgroup_inet4_bind | cgroup_inet6_bind |
                 cgroup_inet4_post_bind | cgroup_inet6_post_bind |
                 cgroup_inet4_connect | cgroup_inet6_connect | cgroup_unix_connect |
                 cgroup_inet4_getpeername | cgroup_inet6_getpeername | cgroup_unix_getpeername |
                 cgroup_inet4_getsockname | cgroup_inet6_getsockname | cgroup_unix_getsockname |
                 cgroup_udp4_sendmsg | cgroup_udp6_sendmsg | cgroup_unix_sendmsg |
                 cgroup_udp4_recvmsg | cgroup_udp6_recvmsg | cgroup_unix_recvmsg |
                 cgroup_sock_ops | cgroup_device | cgroup_sysctl |
                 cgroup_getsockopt | cgroup_setsockopt | lsm_cgroup }
ATTACH_FLAGS := { multi | override }
PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }

Attach types may also be traditional names, or prefixes of them: ingress, egress, sock_create,
sock_release, sock_ops, device, sysctl, getsockopt, setsockopt, and bind, post_bind, connect,
sendmsg, recvmsg, getpeername, getsockname with a 4 or 6.
"""
OPTIONS = "f"

# traditional name, in the order in which prefixes are tried → the kernel's
TRADITIONAL_NAMES = {
    "ingress": "cgroup_inet_ingress", "egress": "cgroup_inet_egress", "sock_create": "cgroup_inet_sock_create",
    "sock_ops": "cgroup_sock_ops", "device": "cgroup_device",
    "bind4": "cgroup_inet4_bind", "bind6": "cgroup_inet6_bind",
    "connect4": "cgroup_inet4_connect", "connect6": "cgroup_inet6_connect",
    "post_bind4": "cgroup_inet4_post_bind", "post_bind6": "cgroup_inet6_post_bind",
    "sendmsg4": "cgroup_udp4_sendmsg", "sendmsg6": "cgroup_udp6_sendmsg", "sysctl": "cgroup_sysctl",
    "recvmsg4": "cgroup_udp4_recvmsg", "recvmsg6": "cgroup_udp6_recvmsg",
    "getsockopt": "cgroup_getsockopt", "setsockopt": "cgroup_setsockopt",
    "getpeername4": "cgroup_inet4_getpeername", "getpeername6": "cgroup_inet6_getpeername",
    "getsockname4": "cgroup_inet4_getsockname", "getsockname6": "cgroup_inet6_getsockname",
    "sock_release": "cgroup_inet_sock_release",
}  # fmt: skip
FLAG_NAMES = {0: ""} | {value: name for name, value in cgroup.FLAGS.items()}

Record = dict[str, "Any"]


def described(id: int) -> Record | None:
    """The fields of a program from `name` on, None when it is gone. Error when the kernel won't tell."""
    try:
        prog = Prog.from_id(id)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    with prog:
        object_id, type_id = prog.info.attach_btf_obj_id, prog.info.attach_btf_id
        record = {"name": prog.full_name} | target_name(object_id, type_id)
        return record | {"attach_btf_obj_id": object_id, "attach_btf_id": type_id}


def target_name(object_id: int, type_id: int) -> Record:
    """`attach_btf_name`: the LSM hook, empty for other programs; nothing where it can't be known."""
    if not os.path.exists(btf.VMLINUX):
        return {}
    try:
        return {"attach_btf_name": btf.kernel_types(object_id).name(type_id) if type_id else ""}
    except Error:
        return {}


class Cgroups:
    """Makes the records of cgroups: what they share, most of all the programs that many inherit, is asked for once."""

    def __init__(self, effective: bool) -> None:
        self._effective = effective
        self._query = cgroup.Query(effective)
        self._described: dict[int, Record | None] = {}

    def programs(self, fd: int, path: str) -> list[Record]:
        """One record per program of a cgroup; programs that vanish meanwhile are skipped."""
        records = []
        for hook, id, flags in self._query.progs(fd, path):
            if id not in self._described:
                self._described[id] = described(id)
            fields = self._described[id]
            if fields is not None:
                names = {} if self._effective else {"attach_flags": FLAG_NAMES.get(flags, f"unknown({flags:x})")}
                records.append({"id": id, "attach_type": hook} | names | fields)
        return records


def tree_rows(root: str, effective: bool) -> Iterator[Record]:
    """One record per cgroup that has programs; what can't be read below the root is an Error at the end."""
    cgroups = Cgroups(effective)
    failures: list[Error] = []
    for path, fd in cgroup.walk(root, failures):
        try:
            programs = cgroups.programs(fd, path)
        except Error as error:
            if path == root:
                raise
            cgroup.note(error, failures)
            continue
        if programs:
            yield {"cgroup": utf8(path), "programs": programs}
    if failures:
        raise all_of(failures)


def all_of(failures: list[Error]) -> Error:
    """One Error for several: the first, how many others there are, and their messages."""
    first, *others = failures
    if others:
        first.message += f" (and {len(others)} more)"
        first.detail = "\n".join(error.message for error in others)
    return first


def utf8(path: str) -> str:
    """A path as text for people and JSON: bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def header(effective: bool) -> str:
    """The names of the columns."""
    names = ("ID", "AttachType", "Name") if effective else ("ID", "AttachType", "AttachFlags", "Name")
    return columns(*names)


def columns(first: object, *others: str) -> str:
    """A line of the table."""
    return " ".join([f"{first:<8}", *(f"{text:<15}" for text in others)]) + "\n"


def text(record: Record) -> str:
    """A line per program."""
    words = [record[key] for key in ("attach_type", "attach_flags", "name", "attach_btf_name") if key in record]
    return columns(record["id"], *map(printable, words))


def place_text(record: Record, root: str) -> str:
    """A cgroup, then its programs, which are indented below the root."""
    indent = "" if record["cgroup"] == root else "    "
    programs = "".join(indent + text(program) for program in record["programs"])
    return f"{printable(record['cgroup'])}\n{programs}"


def effective(args: Args) -> bool:
    """Take `effective` if it is there; Error for any other word."""
    found = False
    while args:
        word = args.peek()
        if args.accept("effective") is None:
            raise Error(f"expected no more arguments, 'effective', got: '{word}'?")
        if found:
            raise Error(f"duplicated argument: {word}")
        found = True
    return found


def attach_type(args: Args) -> str:
    """Take an ATTACH_TYPE: the kernel's name, or a prefix of a traditional one."""
    word = args.peek()
    if word in cgroup.HOOKS:
        return args.next()
    found = args.accept(*TRADITIONAL_NAMES)
    if found is None:
        raise Error(f"invalid attach type: {word}, see 'bcctool cgroup help'")
    return TRADITIONAL_NAMES[found]


def attach_flags(args: Args) -> int:
    """Take all ATTACH_FLAGS."""
    flags = 0
    while args:
        word = args.peek()
        found = args.accept(*cgroup.FLAGS)
        if found is None:
            raise Error(f"unknown option: {word}, expected {one_of(cgroup.FLAGS)}")
        flags |= cgroup.FLAGS[found]
    return flags


def change(args: Args, attaching: bool) -> None:
    """Take CGROUP ATTACH_TYPE PROG and what may follow, and do it."""
    if len(args) < 4:
        raise Error(f"too few parameters for cgroup {args.verb}: CGROUP ATTACH_TYPE PROG expected")
    path = args.next()
    fd = cgroup.opened(path)
    try:
        hook = attach_type(args)
        with select.prog(args) as prog:
            flags = attach_flags(args) if attaching else 0
            args.end()
            if attaching:
                cgroup.attach(fd, path, hook, prog, flags)
            else:
                cgroup.detach(fd, path, hook, prog)
    finally:
        os.close(fd)


COLUMNS = (
    ("ID", "id", "number"), ("TYPE", "attach_type", "text"), ("FLAGS", "attach_flags", "text"),
    ("NAME", "name", "text"), ("HOOK", "attach_btf_name", "text"),
)  # fmt: skip


@verb("CGROUP [effective]", alias="list", columns=COLUMNS)
def show(args: Args) -> Listing:
    """Show the programs of a cgroup; `effective`: with those that it inherits."""
    args.require(1, status=255)
    path = args.next()
    inherited = effective(args)
    fd = cgroup.opened(path)
    try:
        records = Cgroups(inherited).programs(fd, path)
    finally:
        os.close(fd)
    return Listing(records, text, header(inherited) if records else "")


def tree_table_rows(record: Record) -> Iterator[Record]:
    """The programs of a cgroup, each with it."""
    return (program | {"cgroup": record["cgroup"]} for program in record["programs"])


@verb("[CGROUP_ROOT [effective]]", columns=(("CGROUP", "cgroup", "text"), *COLUMNS), rows=tree_table_rows)
def tree(args: Args) -> Listing:
    """Show the programs of all cgroups below a directory, by default of all cgroups."""
    root = args.next() if args else cgroup.mount_point()
    root = root.rstrip("/") or root[:1]
    inherited = effective(args)
    head = "CgroupPath\n" + header(inherited)
    return Listing(tree_rows(root, inherited), lambda record: place_text(record, utf8(root)), head)


@verb("CGROUP ATTACH_TYPE PROG [ATTACH_FLAGS]")
def attach(args: Args) -> None:
    """Attach a program to a cgroup."""
    change(args, attaching=True)


@verb("CGROUP ATTACH_TYPE PROG")
def detach(args: Args) -> None:
    """Detach a program from a cgroup."""
    change(args, attaching=False)
