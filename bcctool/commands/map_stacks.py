"""map dump MAP stacks: stack traces as folded stacks, a line for each, which is what makers of flame graphs read."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from ..errors import Error
from ..escapes import printable
from ..kernel import uapi
from ..kernel.bcc_symbols import LIBRARIES, MAX_PID, UserSymbols
from ..kernel.proc import KernelSymbols
from ..objects.stacks import EITHER, KERNEL, NO_STACK, USER, Counts, Stacks
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..objects.stacks import Count, Frame
    from ..verbs import Args

    Record = dict[str, Any]

KERNEL_HALF = 1 << 63  # addresses from here on are the kernel's
UNKNOWN = "[unknown]"
HIDDEN = "the kernel hides its addresses from this user: no function of its has a name here"
MISSED = {USER: "[Missed User Stack]", KERNEL: "[Missed Kernel Stack]", EITHER: "[Missed Stack]"}


def run(args: Args) -> Iterator[Record]:
    """Take MAP stacks [pid PID] [counts MAP]: a record for each stack, or for each count."""
    with ExitStack() as opened:
        stacks = Stacks(opened.enter_context(select.map_(args, uapi.BPF_F_RDONLY)))
        args.expect("stacks")
        pid: int | None = None
        counts: Counts | None = None
        while args:
            keyword = args.expect("pid", "counts")
            if (pid if keyword == "pid" else counts) is not None:
                raise Error(f"duplicate {keyword}")
            if keyword == "pid":
                pid = args.number("PID", MAX_PID)
            else:
                counts = Counts(opened.enter_context(select.map_(args, uapi.BPF_F_RDONLY)))
        return records(stacks, counts, pid, opened.pop_all())


def records(stacks: Stacks, counts: Counts | None, pid: int | None, opened: ExitStack) -> Iterator[Record]:
    """The records, one by one; afterwards what could not be named is told on stderr. Closes what is opened."""
    with opened:
        names = Names(opened.enter_context(UserSymbols()))
        if counts is None:
            for id, frames in stacks:
                yield {"id": id, "frames": names.frames(pid, frames), "count": 1}
        else:
            for entry in counts:
                if pid is None or not counts.has_pids or entry.pid == pid:
                    yield counted(stacks, names, entry, entry.pid if counts.has_pids else pid)
        sys.stderr.write("".join([f"Warning: {warning}\n" for warning in names.warnings()]))


def counted(stacks: Stacks, names: Names, entry: Count, pid: int | None) -> Record:
    """The record of a count: its process, its stacks' ids, their frames one after the other."""
    record: Record = {} if entry.comm is None else {"comm": entry.comm}
    if entry.pid is not None:
        record["pid"] = entry.pid
    frames: list[Record] = []
    for kind, id in entry.ids.items():
        record["id" if len(entry.ids) == 1 else f"{kind}_id"] = id
        found = stacks.get(id) if id >= 0 else None
        if found is not None:
            frames += names.frames(pid, found)
        elif id not in NO_STACK:  # there was no place for it, or it has been removed since
            frames.append({"missed": kind})
    return record | {"frames": frames, "count": entry.count}


class Names:
    """What is at the addresses of frames; remembers why some have no names."""

    def __init__(self, user: UserSymbols) -> None:
        self.user = user
        self.kernel = KernelSymbols()
        self.homeless = self.hidden = False

    def frames(self, pid: int | None, frames: list[Frame]) -> list[Record]:
        """The records of a stack's frames. pid: the process that addresses of user space are in, if it is known."""
        return [self.frame(pid, build_id, number) for build_id, number in frames]

    def frame(self, pid: int | None, build_id: str, number: int) -> Record:
        """The record of a frame: `ip`, or `build_id` and `file_offset`; if known `symbol`, `module` and `offset`."""
        record: Record = {"build_id": build_id, "file_offset": number} if build_id else {"ip": f"{number:#x}"}
        name = module = ""
        offset = 0
        if number >= KERNEL_HALF and not build_id:
            name, module, offset = self.kernel.function(number)
            self.hidden = self.hidden or (not name and self.kernel.hidden())
        elif pid is None:
            self.homeless = True
        elif 0 < pid <= MAX_PID and build_id:
            name, module, offset = self.user.in_file(pid, build_id, number)
        elif 0 < pid <= MAX_PID:
            name, module, offset = self.user.at(pid, number)
        if name:
            record["symbol"] = name
        if module:
            record |= {"module": module, "offset": offset}
        return record

    def warnings(self) -> Iterator[str]:
        """Why frames have no names, a line for each reason."""
        if self.hidden:
            yield HIDDEN
        if self.homeless:
            yield "functions of processes are [unknown]: say which with `pid PID`, or `counts MAP` that has pids"
        if self.user.missing:
            yield f"functions of processes are [unknown] without {LIBRARIES[0]}: install libbpfcc"
        if self.user.gone:
            first, more = min(self.user.gone), len(self.user.gone) - 1
            others = f" and {more} other{'s' if more > 1 else ''}" if more else ""
            yield f"process {first}{others} {'are' if more else 'is'} gone: functions there are [unknown]"


def text(record: Record) -> str:
    """`comm;outermost;…;innermost count`, what would not be one line of one command escaped."""
    parts = [record["comm"]] if record.get("comm") else []
    parts += map(label, record["frames"])
    return ";".join([printable(part).replace(";", "\\x3b") for part in parts] or [UNKNOWN]) + f" {record['count']}\n"


def label(frame: Record) -> str:
    """A frame's name; of one without what there is instead."""
    if "missed" in frame:
        return MISSED[frame["missed"]]
    name: str = frame.get("symbol", "")
    if not name and "build_id" in frame:
        return f"[{frame['build_id']}]+{frame['file_offset']:#x}"
    return name or UNKNOWN
