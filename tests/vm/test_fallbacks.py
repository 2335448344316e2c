"""Fallbacks on older kernels: what they answer, and that they take the types that are rewritten for them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm
SCRIPT = """
import json, os
from bcctool.kernel import libbpf
from bcctool.loader.fallbacks import BTF_FEATURES, FEATURES, sanitized_btf, takes
from tests.test_loader_fallbacks import everything

def load(data):
    try:
        os.close(libbpf.call("bpf_btf_load", data, len(data), None))
    except OSError as error:
        return error.errno
    return 0

data = everything()
answers = {feature: takes(feature) for feature in (*BTF_FEATURES, *FEATURES)}
print(json.dumps([answers, load(data), load(sanitized_btf(data, takes))]))
"""


MISSING = {"6.1": {"tag_kind_flag", "uprobe_multi"}, "6.12": {"tag_kind_flag"}}


@pytest.mark.parametrize("release", MISSING)
def test_types_are_rewritten_for_what_the_kernel_says(vm: Callable[..., Completed], release: str) -> None:
    done = vm(release, "python", "-c", SCRIPT)
    answers, plain, rewritten = json.loads(done.stdout.splitlines()[-1])
    assert {feature for feature, answer in answers.items() if not answer} == MISSING[release]
    assert plain != 0
    assert rewritten == 0
