"""btf show: the BTF objects in the kernel."""

from __future__ import annotations

from ..errors import GENERIC, Error, KernelError
from ..escapes import printable
from ..kernel import bpf
from ..objects.btf import Btf
from ..objects.map import Map
from ..objects.owners import owners
from ..objects.prog import Prog
from ..verbs import Args
from .listing import Owners, holders, holders_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..objects.handle import Handle

Users = dict[int, list[int]]


def users(kind: type[Handle], word: str) -> Users:
    """The ids of the objects of a kind by the BTF object that they refer to, ascending."""
    found: Users = {}
    try:
        for handle in kind.all():
            with handle:
                found.setdefault(handle.info.btf_id, []).append(handle.id)
    except KernelError as error:
        raise KernelError(f"can't get next {word}", error.errno, status=GENERIC) from None
    return found


def describe(btf: Btf, progs: Users, maps: Users, held: Owners) -> dict[str, Any]:
    """The record of `show`."""
    id = btf.id
    record = {"id": id, "size": btf.info.btf_size, "prog_ids": progs.get(id, []), "map_ids": maps.get(id, [])}
    record |= holders(held, id) | {"kernel": btf.kernel}
    if btf.name:
        record["name"] = btf.name
    return record


def text(record: dict[str, Any]) -> str:
    """A BTF object as `btf show` prints it."""
    name = printable(record.get("name", "<anon>"))
    text = f"{record['id']}: name {f'[{name}]' if record['kernel'] else name}  size {record['size']}B"
    for key in ("prog_ids", "map_ids"):
        text += f"  {key} {','.join(map(str, record[key]))}" if record[key] else ""
    return text + holders_text(record) + "\n"


def rows(btfs: Iterable[Btf], progs: Users, maps: Users, held: Owners) -> Iterator[dict[str, Any]]:
    """One record per BTF object."""
    for btf in btfs:
        with btf:
            yield describe(btf, progs, maps, held)



def show(args: Args) -> Any:
    """What `show` does."""
    if len(args) not in (0, 2):
        raise Error(f"what is '{args.peek()}'?")
    selected = None
    if args:
        args.expect("id")
        selected = Btf.from_id(args.number("ID"))
    found = users(Prog, "prog"), users(Map, "map"), owners(bpf.BTF)
    return rows(Btf.all(), *found) if selected is None else describe(selected, *found)
