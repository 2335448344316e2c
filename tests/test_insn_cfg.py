"""Control-flow graphs of small programs, and what must hold for any bytes at all."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcctool.insn.cfg import ENTRY_BLOCK, EXIT_BLOCK, FIRST_BLOCK, Function, functions
from bcctool.insn.disasm import Insn, disassemble
from bcctool.insn.opcodes import CALL, EXIT, FORMS, GOTO, GOTOL, GOTOX, LD_IMM64, MAY_GOTO

JEQ_K, JNE_X_32, MOV_K = 0x15, 0x5E, 0xB7


def insn(code: int, off: int = 0, imm: int = 0, src: int = 0, order: str = "<") -> bytes:
    return struct.pack(f"{order}BBhi", code, src << 4 if order == "<" else src, off, imm)


MOV, END, CALL_HELPER = insn(MOV_K), insn(EXIT), insn(CALL, imm=7)
LOAD = insn(LD_IMM64) + bytes(8)


def invariants(found: list[Function], insns: Sequence[Insn]) -> None:
    """What every graph fulfils."""
    blocks = [block for function in found for block in function.blocks]
    assert [one for block in blocks for one in block.insns] == list(insns), "each once, in order"
    assert all(block.insns for block in blocks)
    for function in found:
        numbers = [block.number for block in function.blocks]
        assert numbers == list(range(FIRST_BLOCK, FIRST_BLOCK + len(numbers)))
        assert function.start == function.blocks[0].insns[0].index
        assert {end for edge in function.edges() for end in edge} <= {ENTRY_BLOCK, EXIT_BLOCK, *numbers}
        assert not [source for source, _ in function.edges() if source == EXIT_BLOCK]


def reachable(function: Function) -> set[int]:
    """The blocks that ENTRY leads to."""
    found, pending = {ENTRY_BLOCK}, [ENTRY_BLOCK]
    edges = list(function.edges())
    while pending:
        at = pending.pop()
        new = {target for source, target in edges if source == at} - found
        found |= new
        pending += new
    return found


def shape(code: bytes, xlated: bool = False) -> list[tuple[list[list[int]], list[tuple[int, int]]]]:
    """Of each function: the slots in its blocks, and its edges without the one from ENTRY."""
    insns = list(disassemble(code))
    found = functions(insns, xlated=xlated)
    invariants(found, insns)
    return [([[one.index for one in block.insns] for block in f.blocks], [*f.edges()][1:]) for f in found]


@pytest.mark.parametrize(
    ("code", "blocks", "edges"),
    [
        ([MOV, END], [[0, 1]], [(2, 1)]),
        ([CALL_HELPER, MOV, END], [[0, 1, 2]], [(2, 1)]),  # calls come back
        ([insn(JEQ_K, 1), MOV, END], [[0], [1], [2]], [(2, 3), (2, 4), (3, 4), (4, 1)]),
        ([insn(JNE_X_32, 1), MOV, END], [[0], [1], [2]], [(2, 3), (2, 4), (3, 4), (4, 1)]),
        ([insn(JEQ_K, 0), END], [[0], [1]], [(2, 3), (2, 3), (3, 1)]),
        ([MOV, insn(JEQ_K, -2), END], [[0, 1], [2]], [(2, 3), (2, 2), (3, 1)]),
        ([MOV, insn(MAY_GOTO, 1), insn(GOTO, -2), END], [[0], [1], [2], [3]],
         [(2, 3), (3, 4), (3, 5), (4, 3), (5, 1)]),
        ([insn(JEQ_K, 2), MOV, END, MOV, END], [[0], [1, 2], [3, 4]], [(2, 3), (2, 4), (3, 1), (4, 1)]),
        ([insn(GOTO, 1), MOV, END], [[0], [1], [2]], [(2, 4), (3, 4), (4, 1)]),
        ([insn(GOTOL, 7, imm=1), MOV, END], [[0], [1], [2]], [(2, 4), (3, 4), (4, 1)]),
        ([insn(GOTOX), MOV, END], [[0], [1, 2]], [(3, 1)]),
        ([insn(JEQ_K, 2), LOAD, END], [[0], [1], [3]], [(2, 3), (2, 4), (3, 4), (4, 1)]),
        # Nowhere: through EXIT.
        ([insn(JEQ_K, 1), LOAD, END], [[0], [1, 3]], [(2, 3), (2, 1), (3, 1)]),
        ([insn(GOTO, 99), END], [[0], [1]], [(2, 1), (3, 1)]),
        ([insn(GOTO, -99), END], [[0], [1]], [(2, 1), (3, 1)]),
        ([insn(GOTOL, imm=-(2**31))], [[0]], [(2, 1)]),
        ([MOV], [[0]], [(2, 1)]),
        ([insn(JEQ_K, 5)], [[0]], [(2, 1), (2, 1)]),
        ([MOV, LOAD[:8]], [[0, 1]], [(2, 1)]),
        ([MOV, insn(JEQ_K, -1)[:7]], [[0, 1]], [(2, 1)]),
    ],
)  # fmt: skip
def test_blocks_and_edges(code: list[bytes], blocks: list[list[int]], edges: list[tuple[int, int]]) -> None:
    assert shape(b"".join(code)) == [(blocks, edges)]


def starts(code: bytes, xlated: bool = False) -> list[int]:
    return [blocks[0][0] for blocks, _ in shape(code, xlated)]


def test_functions_begin_where_they_are_called_or_referred_to() -> None:
    call = insn(CALL, src=1, imm=4)
    callback = insn(LD_IMM64, src=4, imm=4) + bytes(8)
    assert starts(call + callback + MOV + END + END + MOV + END) == [0, 5, 6]
    assert starts(insn(CALL, src=1, off=1, imm=2) + END + MOV + END) == [0, 3]
    assert starts(insn(CALL, src=1, off=1, imm=2) + END + MOV + END, xlated=True) == [0, 2]
    assert starts(insn(CALL, src=2, imm=1) + END + MOV + END) == [0], "a kfunc"


def test_functions_begin_where_the_caller_says() -> None:
    code = insn(CALL, src=1, imm=1) + LOAD + END + END
    insns = list(disassemble(code))
    for given_, wanted in (((), [0]), ((3,), [0, 3]), ((4, 3, 2, -1, 99), [0, 3, 4])):
        found = functions(insns, starts=given_)
        invariants(found, insns)
        assert [function.start for function in found] == wanted


def test_an_edge_does_not_lead_into_another_function() -> None:
    code = insn(CALL, src=1, imm=2) + insn(JEQ_K, 1) + END + MOV + END
    assert shape(code) == [([[0, 1], [2]], [(2, 3), (2, 1), (3, 1)]), ([[3, 4]], [(2, 1)])]


def test_big_endian() -> None:
    little = insn(JEQ_K, 1) + MOV + insn(CALL, src=1, imm=1) + END + MOV + END
    big = b"".join(
        insn(code, off, imm, registers >> 4, ">") for code, registers, off, imm in struct.iter_unpack("<BBhi", little)
    )
    insns = list(disassemble(big, byteorder="big"))
    found = functions(insns, "big")
    invariants(found, insns)
    assert [([[one.index for one in b.insns] for b in f.blocks], [*f.edges()][1:]) for f in found] == shape(little)


def test_nothing_makes_no_functions() -> None:
    assert functions([]) == []


# Mostly what makes graphs, with short distances; the rest anything.
control = st.builds(
    insn,
    st.sampled_from([JEQ_K, JNE_X_32, GOTO, GOTOL, GOTOX, MAY_GOTO, CALL, EXIT, LD_IMM64, MOV_K]),
    st.integers(-6, 6),
    st.integers(-6, 6),
    st.integers(0, 5),
)
any_form = st.builds(insn, st.sampled_from([form.code for form in FORMS]), st.integers(-(2**15), 2**15 - 1))
programs = st.lists(st.one_of(control, any_form, st.binary(max_size=9)), max_size=40).map(b"".join)


@given(programs, st.sampled_from(["little", "big"]), st.booleans(), st.none() | st.lists(st.integers(-3, 50)))
def test_any_bytes_make_a_graph(code: bytes, byteorder: str, xlated: bool, given_: list[int] | None) -> None:
    insns = list(disassemble(code, byteorder=byteorder))
    found = functions(insns, byteorder, given_, xlated)
    invariants(found, insns)
    assert bool(found) == bool(insns)
    ends = {end for function in found for block in function.blocks for end in block.insns[:-1]}
    assert not [one for one in ends if one.code in (EXIT, GOTO, JEQ_K) and len(one.raw) == 8], "in mid-block"


@given(programs)
def test_a_block_is_entered_at_its_beginning_only(code: bytes) -> None:
    insns = list(disassemble(code))
    for function in functions(insns):
        own = {one.index for block in function.blocks for one in block.insns}
        heads = {block.insns[0].index for block in function.blocks}
        for block in function.blocks:
            last = block.insns[-1]
            if last.code in (GOTO, JEQ_K, MAY_GOTO) and len(last.raw) == 8:
                target = last.index + 1 + int.from_bytes(last.raw[2:4], "little", signed=True)
                assert target in heads or target not in own
