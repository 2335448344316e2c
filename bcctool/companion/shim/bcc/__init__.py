"""Stands before BCC's own package in the path of a tool that `bcc run` starts: BCC, with our BPF in place of its own.

The tool's Python is not ours, so what is needed of bcctool comes from where this file lies.
"""

import os
import sys


def _replace() -> None:
    """Take this package out of the way, import BCC, and give it our BPF."""
    shim = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != shim]
    del sys.modules["bcc"]
    root = os.path.dirname(os.path.dirname(os.path.dirname(shim)))
    sys.path.append(root)  # last: what else is there must not hide what the tool imports
    try:
        from bcctool.companion import tool
    finally:
        sys.path.remove(root)
    tool.prepare()


_replace()
