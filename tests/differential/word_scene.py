"""What the command lines of word_rows.py speak of: programs, maps, a link and files, all made by bpftool."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from ..conftest import Sandbox
from ..forked import Done, Forked

BPFFS = "/sys/fs/bpf"
# pin → type, sizes of key and value, entries
MAPS = {
    "array": ("array", 4, 4, 3),
    "cpus": ("percpu_hash", 4, 4, 2),
    "progs": ("prog_array", 4, 4, 2),
    "queue": ("queue", 0, 4, 2),
    "ring": ("ringbuf", 0, 0, 4096),
    "bloom": ("bloom_filter", 0, 4, 2),
    "perf": ("perf_event_array", 4, 4, 2),
    "none": ("hash", 4, 8, 2),
    "frozen": ("array", 4, 4, 1),
}
FRESH = re.compile(r"\{(new2?|out|own|own_queue)\}")
FOUR = (1, 0, 0, 0)
_TWINS = 2


class Scene:
    """Named words, and how a command line is run by both tools."""

    def __init__(self, box: Sandbox, compile_c: Callable[..., Path], directory: Path) -> None:
        self.box = box
        self.directory = directory
        self.fresh = 0
        self.words: dict[str, str] = {"bpffs": BPFFS, "long": "x" * 128}
        self.files(compile_c)
        self.progs()
        self.maps()
        self.link()

    def bpftool(self, *words: object) -> str:
        return self.box.run("bpftool", "-n", *map(str, words)).stdout

    def field(self, kind: str, pin: str, key: str) -> str:
        return str(json.loads(self.bpftool("-j", kind, "show", "pinned", pin))[key])

    def files(self, compile_c: Callable[..., Path]) -> None:
        """Objects and other files."""
        pid = os.getpid()
        unique = [f"-DNUMBER={pid}", f"-DTYPED=wt{pid}"]
        self.words |= {"name": f"w{pid}_with_a_long_name", "twin": f"w{pid}_twin", "map_twin": f"w{pid}_maps"}
        self.words["map_typed"] = f"wt{pid}"
        made = {
            "obj": compile_c("words.c", "-g", f"-DNAME={self.words['name']}", *unique),
            "twin_obj": compile_c("words.c", "-g", f"-DNAME={self.words['twin']}", *unique[1:], "-DNUMBER=7"),
            "bare_obj": compile_c("prog_types.c"),
            "xdp_obj": compile_c("run_types.c", "-g"),
            "iter_obj": compile_c("iter_pin.c", "-g"),
            "maps_obj": compile_c("iter_pin.c", "-g", "-DMAPS"),
            "text": self.directory / "text",
            "data": self.directory / "data",
            "empty": self.directory / "empty",
            "dir": self.directory / "dir",
        }
        made["text"].write_text("this is no object file\n")
        made["data"].write_bytes(bytes(range(20)))
        made["empty"].touch()
        made["dir"].mkdir()
        (made["dir"] / "file").touch()
        self.words |= {name: str(path) for name, path in made.items()}

    def progs(self) -> None:
        for pin, obj in (("rich", "obj"), ("twin0", "twin_obj"), ("twin1", "twin_obj"), ("xdp_pin", "xdp_obj")):
            path = self.words[pin] = f"{BPFFS}/{pin}"
            self.bpftool("prog", "load", self.words[obj], path)
        self.bpftool("prog", "load", self.words["bare_obj"], f"{BPFFS}/bare")
        id = self.field("prog", self.words["rich"], "id")
        tag = self.field("prog", self.words["rich"], "tag")
        self.words |= {"id": id, "id_hex": hex(int(id)), "id_octal": f"0{int(id):o}", "tag": tag}
        self.words["tag_upper"] = tag.upper()
        self.words["xdp"] = self.field("prog", self.words["xdp_pin"], "id")
        self.words["xdp_bare"] = self.field("prog", f"{BPFFS}/bare", "id")
        self.words["btf"] = self.field("prog", self.words["rich"], "btf_id")
        self.words["typed"] = f"{BPFFS}/typed"
        (typed,) = json.loads(self.bpftool("-j", "prog", "show", "pinned", self.words["rich"]))["map_ids"]
        self.bpftool("map", "pin", "id", typed, self.words["typed"])

    def create(self, name: str, type: str, key: int, value: int, entries: int, *more: str, pin: str = "") -> str:
        """A map of bpftool's; where it is pinned."""
        path = f"{BPFFS}/{pin or name}"
        sizes = ("key", key, "value", value, "entries", entries)
        self.bpftool("map", "create", path, "type", type, *sizes, "name", name, *more)
        return path

    def maps(self) -> None:
        for name, row in MAPS.items():
            self.words[name] = self.create(name, *row)
        self.bpftool("map", "freeze", "pinned", self.words["frozen"])
        self.words["map_name"] = f"w{os.getpid()}_hash"
        self.words["hash"] = self.create(self.words["map_name"], "hash", 4, 4, 4, pin="hash")
        for number in range(_TWINS):
            self.create(self.words["map_twin"], "hash", 4, 4, 4, pin=f"maps{number}")
        self.words["maps"] = self.create("outer", "array_of_maps", 4, 4, 2, "inner_map", "pinned", self.words["hash"])
        for pin in ("hash", "cpus"):
            self.entry(self.words[pin])
        self.bpftool("map", "push", "pinned", self.words["queue"], "value", *FOUR)
        id = self.field("map", self.words["hash"], "id")
        self.words |= {"map_id": id, "map_hex": hex(int(id))}

    def entry(self, path: str) -> None:
        self.bpftool("map", "update", "pinned", path, "key", *FOUR, "value", *FOUR)

    def link(self) -> None:
        self.words["link"] = f"{BPFFS}/link"
        self.bpftool("iter", "pin", self.words["maps_obj"], self.words["link"])
        self.words["link_id"] = self.field("link", self.words["link"], "id")

    def fill(self, row: str) -> tuple[list[str], list[str]]:
        """The words of a row, and the paths that are this one's own."""
        own: dict[str, str] = {}
        self.fresh += 1
        for word in dict.fromkeys(FRESH.findall(row)):
            own[word] = f"{self.directory if word == 'out' else BPFFS}/{word}{self.fresh}"
            if word.startswith("own"):
                type, key = ("queue", 0) if word == "own_queue" else ("hash", 4)
                self.create("own", type, key, 4, 4, pin=Path(own[word]).name)
                if key:
                    self.entry(own[word])
                else:
                    self.bpftool("map", "push", "pinned", own[word], "value", *FOUR)
        return [word.format(**self.words, **own) for word in shlex.split(row)], list(own.values())

    def named(self, text: str) -> str:
        """A text with what its `{word}`s stand for."""
        return re.sub(r"\{(\w+)\}", lambda match: self.words[match[1]], text)

    def run(self, forked: Forked, tool: Callable[[list[str]], Done], row: str, style: str) -> Done:
        """What a tool makes of a row, on objects of its own where the row changes them."""
        words, own = self.fill(row)
        done = tool(["-n", *([style] if style else []), *words])
        for path in own:
            forked.run(["rm", "-rf", path])
            done.stdout = done.stdout.replace(path, "OWN")
            done.stderr = done.stderr.replace(path, "OWN")
        return done

    def ours(self, forked: Forked, row: str, style: str) -> Done:
        """What bcctool makes of a row."""
        return self.run(forked, forked.bcctool, row, style)

    def both(self, forked: Forked, row: str, style: str) -> tuple[Done, Done]:
        """What bpftool and bcctool make of a row."""
        theirs = self.run(forked, lambda words: forked.run(["bpftool", *words]), row, style)
        return theirs, self.ours(forked, row, style)
