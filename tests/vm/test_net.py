"""What this machine's kernel lacks: netkit devices, and filters of tc with actions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm

ATTACH = """
import socket
from bcctool.kernel import bpf, libbpf, uapi
prog, other = (bpf.obj_get(f"/sys/fs/bpf/p/{name}") for name in ("net_tc", "net_act"))
index = socket.if_nametoindex("left")
for kind in ("netkit_primary", "netkit_peer"):
    libbpf.call("bpf_prog_attach", prog, index, uapi.ATTACH_TYPES.index(kind), 0)
link = bpf.link_create(other, index, uapi.ATTACH_TYPES.index("netkit_peer"))
libbpf.call("bpf_obj_pin", link, b"/sys/fs/bpf/link")
"""
SHOW = """
for module in netkit act_bpf act_gact cls_bpf sch_ingress dummy; do modprobe $module; done
bcctool() { python -m bcctool "$@"; }
bpftool prog loadall "$1" /sys/fs/bpf/p && ip link add left type netkit && ip link add dev0 type dummy || exit 1
python -c "$2"
bcctool net show dev left; bcctool -j net show dev left
tc qdisc add dev dev0 clsact
filter="bpf object-pinned /sys/fs/bpf/p/net_tc"
tc filter add dev dev0 ingress $filter action ok
tc filter add dev dev0 ingress prio 3 $filter action bpf obj "$1" sec tc action bpf obj "$1" sec tc
tc filter add dev dev0 egress $filter action bpf bytecode '1,6 0 0 4294967295,'
tc filter add dev dev0 egress prio 3 $filter da
for style in --nomount --json; do
    for tool in bpftool bcctool; do echo "####"; $tool $style net show dev dev0; done
done
"""
NETKIT = """\
xdp:

tc:
left(3) netkit/primary net_tc prog_id N 
left(3) netkit/peer net_tc prog_id N 
left(3) netkit/peer net_act prog_id N link_id 1 

flow_dissector:

netfilter:

"""  # noqa: W291


def test_netkit_and_actions(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    """netkit as later bpftools show it; actions as the distribution's bpftool shows them."""
    obj = shutil.copy(compile_c("net_hooks.c", "-g"), shared / "net_hooks.o")
    done = vm("6.12", "bash", "-c", SHOW, "bash", str(obj), ATTACH)
    netkit, *filters = done.stdout.split("####\n")
    text, _, line = netkit.partition("[{")
    rows = json.loads("[{" + line)[0]["tc"]
    for row in rows:
        text = text.replace(f"prog_id {row['prog_id']} ", "prog_id N ")
    assert text == NETKIT, done.stdout + done.stderr
    assert [(row["kind"], row["name"], row["prog_flags"], row["link_id"], row["link_flags"]) for row in rows] == [
        ("netkit/primary", "net_tc", [], 0, []),
        ("netkit/peer", "net_tc", [], 0, []),
        ("netkit/peer", "net_act", [], 1, []),
    ]
    their_text, our_text, their_json, our_json = filters
    assert our_text == f"{their_text}netfilter:\n\n"  # a section that bpftool 7.1 does not know
    assert our_json.replace(',"netfilter":[]', "") == their_json
    assert [acts(row) for row in json.loads(our_json)[0]["tc"]] == [
        [("net_hooks.o:[tc]", True), ("net_hooks.o:[tc]", True)], [], None, [(None, False)],
    ]  # fmt: skip


def acts(row: dict[str, Any]) -> list[tuple[str | None, bool]] | None:
    """(name, whether there is an id) of each action."""
    return [(act.get("name"), "id" in act) for act in row["act"]] if "act" in row else None
