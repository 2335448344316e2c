"""What attaching starts from and ends with: a program and its place; one link, several, or none that can be pinned."""

from __future__ import annotations

import contextlib
import errno
import os

from ..errors import Error
from ..escapes import printable
from ..kernel import bpf, perf, probe, uapi
from ..objects.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from typing_extensions import Self

    from ..objects.handle import Handle
    from ..objects.map import Map
    from ..objects.prog import Prog
    from .attach_places import Places
    from .sections import Section

PERF_EVENT = uapi.ATTACH_TYPES.index("perf_event")


class Request:
    """A program to be attached.

    name: of its section, row: what that means; place: the rest of the name after the row's prefix, empty without.
    places: what the user gave; maps: those of the program's object. nomount: tracefs is not to be mounted.
    """

    __slots__ = ("maps", "name", "nomount", "place", "places", "prog", "row")

    def __init__(
        self, prog: Prog, name: str, row: Section, places: Places, maps: Mapping[str, Map], nomount: bool
    ) -> None:
        self.prog = prog
        self.name = name
        self.row = row
        self.place = name[len(row.prefix) + 1 :]
        self.places = places
        self.maps = maps
        self.nomount = nomount

    @property
    def failed(self) -> str:
        """What an error starts with."""
        return f"can't attach program '{printable(self.prog.full_name)}' to {printable(self.name)}"

    def error(self, reason: str) -> Error:
        """An error for the user: which program, what place, and why."""
        return Error(f"{self.failed}: {printable(reason)}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Errors about a file that is read in the block say for whom it was."""
        try:
            yield
        except Error as error:
            raise self.error(error.message) from None

    def link(self, target: int, attach_type: str = "", **fields: Any) -> Link:
        """A link to a target (a descriptor or ifindex) by the section's attach type, or another. OSError if refused."""
        number = uapi.ATTACH_TYPES.index(attach_type or self.row.attach_type)
        return Link(bpf.link_create(self.prog.fd, target, number, **fields))


class Links:
    """The links of one program that takes several; `parts`: what goes behind the name of a pin, and the link."""

    def __init__(self, parts: dict[str, Link]) -> None:
        self.parts = parts

    def pins(self, path: str) -> list[tuple[str, Handle]]:
        """Where to pin what."""
        return [(path + suffix, link) for suffix, link in self.parts.items()]

    def close(self) -> None:
        """Close all links."""
        for link in self.parts.values():
            link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Unpinnable(Links):
    """A program at perf events without a link, on kernels before 5.15: it runs until this is closed."""

    def __init__(self, events: list[int]) -> None:
        super().__init__({})
        self.events = events

    def pins(self, path: str) -> list[tuple[str, Handle]]:
        """Error: there is nothing to be pinned."""
        raise Error(f"can't pin {printable(path)}: this kernel has no links of perf events (since Linux 5.15)")

    def close(self) -> None:
        """Detach the program."""
        while self.events:
            os.close(self.events.pop())

    def __del__(self) -> None:
        self.close()


def perf_links(request: Request, events: dict[str, int], cookies: list[int] | None = None) -> Link | Links:
    """Attach a program to open perf events, by what goes behind the names of their pins; the descriptors are closed.

    One event makes one link, with no such name. OSError when the kernel refuses.
    """
    links: dict[str, Link] = {}
    try:
        for (suffix, event), cookie in zip(events.items(), cookies or [0] * len(events), strict=True):
            links[suffix] = request.link(event, "perf_event", perf_event={"bpf_cookie": cookie})
    except OSError as error:
        Links(links).close()
        if error.errno != errno.EINVAL or probe.perf_cookie():
            raise
        kept = Unpinnable([os.dup(event) for event in events.values()])
        for event in kept.events:
            perf.set_program(event, request.prog.fd)
        return kept
    finally:
        for event in events.values():
            os.close(event)
    return Links(links) if len(links) > 1 else next(iter(links.values()))
