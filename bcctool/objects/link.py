"""Live links: what attaches a program for as long as it is open or pinned (linux/bpf.h, struct bpf_link_info)."""

from __future__ import annotations

from ..kernel import bpf, uapi
from .handle import Handle


class Link(Handle):
    """A link."""

    KIND = bpf.LINK
    NOUN = "link"
    BY_ID = "failed to get link with ID {}"
    INFO = uapi.link_info

    @property
    def name(self) -> str:
        """Links have no name: their type, "perf_event", "raw_tracepoint", …"""
        return uapi.LINK_TYPES[self.info.type] if self.info.type < len(uapi.LINK_TYPES) else str(self.info.type)
