"""Every form of every instruction against its text, and what must hold for any bytes at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcctool.insn.disasm import disassemble, opcodes_line, opcodes_record
from bcctool.insn.opcodes import FORMS, LD_IMM64

# opcode dst src off imm | text, written from Documentation/bpf/standardization/instruction-set.rst
GOLDEN = """
04 1 0 0 7          | w1 += 7
0c 1 2 0 0          | w1 += w2
14 1 0 0 -7         | w1 -= -7
1c 1 2 0 0          | w1 -= w2
24 1 0 0 7          | w1 *= 7
2c 1 2 0 0          | w1 *= w2
34 1 0 0 7          | w1 /= 7
3c 1 2 0 0          | w1 /= w2
34 1 0 1 -7         | w1 s/= -7
3c 1 2 1 0          | w1 s/= w2
44 1 0 0 7          | w1 |= 7
4c 1 2 0 0          | w1 |= w2
54 1 0 0 7          | w1 &= 7
5c 1 2 0 0          | w1 &= w2
64 1 0 0 7          | w1 <<= 7
6c 1 2 0 0          | w1 <<= w2
74 1 0 0 7          | w1 >>= 7
7c 1 2 0 0          | w1 >>= w2
84 1 0 0 0          | w1 = -w1
8c 1 0 0 0          | w1 = -w1
94 1 0 0 7          | w1 %= 7
9c 1 2 0 0          | w1 %= w2
94 1 0 1 -7         | w1 s%= -7
9c 1 2 1 0          | w1 s%= w2
a4 1 0 0 7          | w1 ^= 7
ac 1 2 0 0          | w1 ^= w2
b4 1 0 0 -4         | w1 = -4
bc 5 9 0 0          | w5 = w9
bc 5 9 8 0          | w5 = (s8)w9
bc 5 9 16 0         | w5 = (s16)w9
bc 5 9 32 0         | w5 = (s32)w9
c4 1 0 0 7          | w1 s>>= 7
cc 1 2 0 0          | w1 s>>= w2
d4 1 0 0 16         | r1 = le16 r1
dc 1 0 0 32         | r1 = be32 r1
07 1 0 0 287454020  | r1 += 287454020
0f 1 2 0 0          | r1 += r2
17 1 0 0 7          | r1 -= 7
1f 1 2 0 0          | r1 -= r2
27 1 0 0 7          | r1 *= 7
2f 1 2 0 0          | r1 *= r2
37 1 0 0 7          | r1 /= 7
3f 1 2 0 0          | r1 /= r2
37 1 0 1 -7         | r1 s/= -7
3f 1 2 1 0          | r1 s/= r2
47 1 0 0 7          | r1 |= 7
4f 1 2 0 0          | r1 |= r2
57 1 0 0 7          | r1 &= 7
5f 1 2 0 0          | r1 &= r2
67 1 0 0 7          | r1 <<= 7
6f 1 2 0 0          | r1 <<= r2
77 1 0 0 7          | r1 >>= 7
7f 1 2 0 0          | r1 >>= r2
87 1 0 0 0          | r1 = -r1
8f 1 0 0 0          | r1 = -r1
97 1 0 0 7          | r1 %= 7
9f 1 2 0 0          | r1 %= r2
97 1 0 1 -7         | r1 s%= -7
9f 1 2 1 0          | r1 s%= r2
a7 1 0 0 7          | r1 ^= 7
af 1 2 0 0          | r1 ^= r2
b7 5 0 0 9282009    | r5 = 9282009
bf 1 2 0 0          | r1 = r2
bf 1 2 8 0          | r1 = (s8)r2
bf 1 2 16 0         | r1 = (s16)r2
bf 1 2 32 0         | r1 = (s32)r2
bf 1 2 1 1          | r1 = addr_space_cast(r2, 0, 1)
bf 1 2 1 65536      | r1 = addr_space_cast(r2, 1, 0)
bf 1 2 1 -1         | r1 = addr_space_cast(r2, 65535, 65535)
bf 0 0 -1 0         | r0 = &(void __percpu *)(r0)
c7 1 0 0 7          | r1 s>>= 7
cf 1 2 0 0          | r1 s>>= r2
d7 1 0 0 64         | r1 = bswap64 r1
05 0 0 -3 0         | goto pc-3
06 0 0 0 70000      | gotol pc+70000
0d 3 0 0 0          | gotox r3
85 0 0 0 1          | call bpf_map_lookup_elem#1
95 0 0 0 0          | exit
e5 0 0 4 0          | may_goto pc+4
15 1 0 5 52360      | if r1 == 0xcc88 goto pc+5
1d 1 2 5 0          | if r1 == r2 goto pc+5
25 1 0 5 -1         | if r1 > 0xffffffff goto pc+5
2d 1 2 5 0          | if r1 > r2 goto pc+5
35 1 0 5 0          | if r1 >= 0x0 goto pc+5
3d 1 2 5 0          | if r1 >= r2 goto pc+5
45 1 0 5 8          | if r1 & 0x8 goto pc+5
4d 1 2 5 0          | if r1 & r2 goto pc+5
55 1 0 -5 8         | if r1 != 0x8 goto pc-5
5d 1 2 5 0          | if r1 != r2 goto pc+5
65 1 0 5 8          | if r1 s> 0x8 goto pc+5
6d 1 2 5 0          | if r1 s> r2 goto pc+5
75 1 0 5 8          | if r1 s>= 0x8 goto pc+5
7d 1 2 5 0          | if r1 s>= r2 goto pc+5
a5 1 0 5 8          | if r1 < 0x8 goto pc+5
ad 1 2 5 0          | if r1 < r2 goto pc+5
b5 1 0 5 8          | if r1 <= 0x8 goto pc+5
bd 1 2 5 0          | if r1 <= r2 goto pc+5
c5 1 0 5 8          | if r1 s< 0x8 goto pc+5
cd 1 2 5 0          | if r1 s< r2 goto pc+5
d5 1 0 5 8          | if r1 s<= 0x8 goto pc+5
dd 1 2 5 0          | if r1 s<= r2 goto pc+5
16 1 0 5 8          | if w1 == 0x8 goto pc+5
1e 1 2 5 0          | if w1 == w2 goto pc+5
26 1 0 5 8          | if w1 > 0x8 goto pc+5
2e 1 2 5 0          | if w1 > w2 goto pc+5
36 1 0 5 8          | if w1 >= 0x8 goto pc+5
3e 1 2 5 0          | if w1 >= w2 goto pc+5
46 1 0 5 8          | if w1 & 0x8 goto pc+5
4e 1 2 5 0          | if w1 & w2 goto pc+5
56 1 0 0 8          | if w1 != 0x8 goto pc+0
5e 1 2 5 0          | if w1 != w2 goto pc+5
66 1 0 5 8          | if w1 s> 0x8 goto pc+5
6e 1 2 5 0          | if w1 s> w2 goto pc+5
76 1 0 5 8          | if w1 s>= 0x8 goto pc+5
7e 1 2 5 0          | if w1 s>= w2 goto pc+5
a6 1 0 5 8          | if w1 < 0x8 goto pc+5
ae 1 2 5 0          | if w1 < w2 goto pc+5
b6 1 0 5 8          | if w1 <= 0x8 goto pc+5
be 1 2 5 0          | if w1 <= w2 goto pc+5
c6 1 0 5 8          | if w1 s< 0x8 goto pc+5
ce 1 2 5 0          | if w1 s< w2 goto pc+5
d6 1 0 5 8          | if w1 s<= 0x8 goto pc+5
de 1 2 5 0          | if w1 s<= w2 goto pc+5
61 2 1 8 0          | r2 = *(u32 *)(r1 +8)
69 2 1 -8 0         | r2 = *(u16 *)(r1 -8)
71 2 1 0 0          | r2 = *(u8 *)(r1 +0)
79 2 1 8 0          | r2 = *(u64 *)(r1 +8)
81 2 1 8 0          | r2 = *(s32 *)(r1 +8)
89 2 1 8 0          | r2 = *(s16 *)(r1 +8)
91 2 1 8 0          | r2 = *(s8 *)(r1 +8)
62 10 0 -8 -3       | *(u32 *)(r10 -8) = -3
6a 1 0 0 3          | *(u16 *)(r1 +0) = 3
72 1 0 0 3          | *(u8 *)(r1 +0) = 3
7a 1 0 0 3          | *(u64 *)(r1 +0) = 3
63 10 1 -8 0        | *(u32 *)(r10 -8) = r1
6b 10 1 -8 0        | *(u16 *)(r10 -8) = r1
73 10 1 -8 0        | *(u8 *)(r10 -8) = r1
7b 10 1 -8 0        | *(u64 *)(r10 -8) = r1
c2 0 0 0 0          | nospec
ca 0 0 0 0          | nospec
d2 0 0 0 0          | nospec
da 0 0 0 0          | nospec
20 0 0 0 12         | r0 = *(u32 *)skb[12]
28 0 0 0 12         | r0 = *(u16 *)skb[12]
30 0 0 0 -12        | r0 = *(u8 *)skb[-12]
38 0 0 0 12         | r0 = *(u64 *)skb[12]
40 0 7 0 12         | r0 = *(u32 *)skb[r7 + 12]
48 0 7 0 12         | r0 = *(u16 *)skb[r7 + 12]
50 0 7 0 -12        | r0 = *(u8 *)skb[r7 + -12]
58 0 7 0 12         | r0 = *(u64 *)skb[r7 + 12]
c3 1 2 4 0          | lock *(u32 *)(r1 +4) += r2
c3 1 2 4 1          | r2 = atomic_fetch_add((u32 *)(r1 +4), r2)
c3 1 2 4 64         | lock *(u32 *)(r1 +4) |= r2
c3 1 2 4 65         | r2 = atomic_fetch_or((u32 *)(r1 +4), r2)
c3 1 2 4 80         | lock *(u32 *)(r1 +4) &= r2
c3 1 2 4 81         | r2 = atomic_fetch_and((u32 *)(r1 +4), r2)
c3 1 2 4 160        | lock *(u32 *)(r1 +4) ^= r2
c3 1 2 4 161        | r2 = atomic_fetch_xor((u32 *)(r1 +4), r2)
c3 1 2 4 225        | r2 = atomic_xchg((u32 *)(r1 +4), r2)
c3 1 2 4 241        | r0 = atomic_cmpxchg((u32 *)(r1 +4), r0, r2)
c3 1 2 4 256        | r1 = load_acquire((u32 *)(r2 +4))
c3 1 2 4 272        | store_release((u32 *)(r1 +4), r2)
cb 1 2 4 0          | lock *(u16 *)(r1 +4) += r2
cb 1 2 4 1          | r2 = atomic_fetch_add((u16 *)(r1 +4), r2)
cb 1 2 4 64         | lock *(u16 *)(r1 +4) |= r2
cb 1 2 4 65         | r2 = atomic_fetch_or((u16 *)(r1 +4), r2)
cb 1 2 4 80         | lock *(u16 *)(r1 +4) &= r2
cb 1 2 4 81         | r2 = atomic_fetch_and((u16 *)(r1 +4), r2)
cb 1 2 4 160        | lock *(u16 *)(r1 +4) ^= r2
cb 1 2 4 161        | r2 = atomic_fetch_xor((u16 *)(r1 +4), r2)
cb 1 2 4 225        | r2 = atomic_xchg((u16 *)(r1 +4), r2)
cb 1 2 4 241        | r0 = atomic_cmpxchg((u16 *)(r1 +4), r0, r2)
cb 1 2 4 256        | r1 = load_acquire((u16 *)(r2 +4))
cb 1 2 4 272        | store_release((u16 *)(r1 +4), r2)
d3 1 2 4 0          | lock *(u8 *)(r1 +4) += r2
d3 1 2 4 1          | r2 = atomic_fetch_add((u8 *)(r1 +4), r2)
d3 1 2 4 64         | lock *(u8 *)(r1 +4) |= r2
d3 1 2 4 65         | r2 = atomic_fetch_or((u8 *)(r1 +4), r2)
d3 1 2 4 80         | lock *(u8 *)(r1 +4) &= r2
d3 1 2 4 81         | r2 = atomic_fetch_and((u8 *)(r1 +4), r2)
d3 1 2 4 160        | lock *(u8 *)(r1 +4) ^= r2
d3 1 2 4 161        | r2 = atomic_fetch_xor((u8 *)(r1 +4), r2)
d3 1 2 4 225        | r2 = atomic_xchg((u8 *)(r1 +4), r2)
d3 1 2 4 241        | r0 = atomic_cmpxchg((u8 *)(r1 +4), r0, r2)
d3 1 2 4 256        | r1 = load_acquire((u8 *)(r2 +4))
d3 1 2 4 272        | store_release((u8 *)(r1 +4), r2)
db 1 2 -8 0         | lock *(u64 *)(r1 -8) += r2
db 1 2 -8 1         | r2 = atomic64_fetch_add((u64 *)(r1 -8), r2)
db 1 2 -8 64        | lock *(u64 *)(r1 -8) |= r2
db 1 2 -8 65        | r2 = atomic64_fetch_or((u64 *)(r1 -8), r2)
db 1 2 -8 80        | lock *(u64 *)(r1 -8) &= r2
db 1 2 -8 81        | r2 = atomic64_fetch_and((u64 *)(r1 -8), r2)
db 1 2 -8 160       | lock *(u64 *)(r1 -8) ^= r2
db 1 2 -8 161       | r2 = atomic64_fetch_xor((u64 *)(r1 -8), r2)
db 1 2 -8 225       | r2 = atomic64_xchg((u64 *)(r1 -8), r2)
db 1 2 -8 241       | r0 = atomic64_cmpxchg((u64 *)(r1 -8), r0, r2)
db 1 2 -8 256       | r1 = load_acquire((u64 *)(r2 -8))
db 1 2 -8 272       | store_release((u64 *)(r1 -8), r2)
"""

# What is not an instruction, and fields that an instruction ignores.
ODD = """
00 0 0 0 0          | BUG_ld_00
08 0 0 0 0          | BUG_ld_08
01 0 0 0 0          | BUG_ldx_01
99 0 0 0 0          | BUG_ldx_99
c1 0 0 0 0          | BUG_ldx_c1
02 0 0 0 0          | BUG_st_02
a2 0 0 0 0          | BUG_st_a2
03 0 0 0 0          | BUG_03
fb 2 3 16 0         | BUG_fb
db 1 2 -8 7         | BUG_db
c3 1 2 -8 240       | BUG_c3
df 1 0 0 16         | BUG_alu64_df
e7 1 0 0 16         | unknown opcode 0xe7
e4 1 0 0 16         | unknown opcode 0xe4
0e 1 0 0 16         | unknown opcode 0x0e
8d 1 0 0 16         | unknown opcode 0x8d
f6 1 0 0 16         | unknown opcode 0xf6
e5 1 2 4 0          | unknown opcode 0xe5
34 1 0 2 7          | w1 /= 7
bc 1 2 -1 0         | w1 = w2
bc 1 2 1 0          | w1 = w2
bf 1 2 3 0          | r1 = r2
b7 15 0 0 0         | r15 = 0
07 1 9 44 1         | r1 += 1
d4 1 0 0 -5         | r1 = le-5 r1
"""


def rows(table: str) -> list[tuple[int, int, int, int, int, str]]:
    parsed = []
    for line in table.strip().splitlines():
        fields, _, text = line.partition("|")
        code, dst, src, off, imm = fields.split()
        parsed.append((int(code, 16), int(dst), int(src), int(off), int(imm), text.strip()))
    return parsed


def encode(byteorder: str, code: int, dst: int, src: int, off: int, imm: int) -> bytes:
    if byteorder == "little":
        return struct.pack("<BBhi", code, src << 4 | dst, off, imm)
    return struct.pack(">BBhi", code, dst << 4 | src, off, imm)


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("row", rows(GOLDEN) + rows(ODD), ids=lambda row: row[5])
def test_text(row: tuple[int, int, int, int, int, str], byteorder: str) -> None:
    *fields, text = row
    raw = encode(byteorder, *fields)
    [insn] = disassemble(raw, byteorder=byteorder)
    assert (insn.index, insn.slots, insn.code, insn.raw) == (0, 1, row[0], raw)
    assert insn.text == text
    assert insn.line == (text if text.startswith(("BUG", "unknown")) else f"({row[0]:02x}) {text}")


def test_every_form_has_a_golden_text() -> None:
    golden = {code: [row for row in rows(GOLDEN) if row[0] == code] for code in range(256)}
    position = {"src": 2, "off": 3, "imm": 4}
    missing = [
        (hex(form.code), form.field, form.value)
        for form in FORMS
        if form.code != LD_IMM64
        and not any(not form.field or row[position[form.field]] == form.value for row in golden[form.code])
    ]
    assert missing == []


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_wide_immediate_takes_two_slots(byteorder: str) -> None:
    wide = encode(byteorder, LD_IMM64, 3, 0, 0, -2) + encode(byteorder, 0, 0, 0, 0, 0x12345678)
    first, second = disassemble(wide + encode(byteorder, 0x95, 0, 0, 0, 0), byteorder=byteorder)
    assert (first.index, first.slots, first.raw, first.text) == (0, 2, wide, "r3 = 0x12345678fffffffe")
    assert (second.index, second.slots, second.line) == (2, 1, "(95) exit")


@pytest.mark.parametrize(
    ("size", "lines"),
    [
        (0, []),
        (3, ["truncated instruction (3 of 8 bytes)"]),
        (8, ["truncated instruction (8 of 16 bytes)"]),
        (11, ["truncated instruction (8 of 16 bytes)", "truncated instruction (3 of 8 bytes)"]),
        (16, ["(18) r1 = 0x0"]),
        (17, ["(18) r1 = 0x0", "truncated instruction (1 of 8 bytes)"]),
    ],
)
def test_a_buffer_may_end_anywhere(size: int, lines: list[str]) -> None:
    code = (encode("little", LD_IMM64, 1, 0, 0, 0) + bytes(16))[:size]
    insns = list(disassemble(code))
    assert [insn.line for insn in insns] == lines
    assert b"".join(insn.raw for insn in insns) == code


def test_a_lone_second_half_is_marked() -> None:
    assert [insn.line for insn in disassemble(bytes(8))] == ["BUG_ld_00"]


def test_memoryview_is_taken_as_it_is() -> None:
    [insn] = disassemble(memoryview(encode("little", 0x95, 0, 0, 0, 0)))
    assert (insn.line, insn.raw) == ("(95) exit", b"\x95" + bytes(7))


register, s16, s32 = st.integers(0, 15), st.integers(-(2**15), 2**15 - 1), st.integers(-(2**31), 2**31 - 1)


@pytest.mark.parametrize("code", range(256))
@settings(max_examples=15)
@given(dst=register, src=register, off=s16, imm=s32 | st.sampled_from([0, 1, 64, 65, 225, 241, 256, 272]))
def test_any_fields_read_the_same_in_both_byte_orders(code: int, dst: int, src: int, off: int, imm: int) -> None:
    little, big = (
        list(disassemble(encode(order, code, dst, src, off, imm) + bytes(8), byteorder=order))
        for order in ("little", "big")
    )
    assert [insn.line for insn in little] == [insn.line for insn in big]
    assert sum(insn.slots for insn in little) == 2
    line = little[0].line
    assert line.startswith((f"({code:02x}) ", "BUG_", "unknown opcode "))
    assert "\n" not in line
    assert "None" not in line
    assert "{" not in line


@given(code=st.binary(max_size=200), byteorder=st.sampled_from(["little", "big"]))
def test_any_bytes_are_covered_exactly(code: bytes, byteorder: str) -> None:
    insns = list(disassemble(code, byteorder=byteorder))
    assert b"".join(insn.raw for insn in insns) == code
    index = 0
    for insn in insns:
        assert insn.index == index
        index += insn.slots
    assert index == -(-len(code) // 8)


def test_opcodes_line() -> None:
    assert opcodes_line(bytes.fromhex("bf16000000000000")) == "       bf 16 00 00 00 00 00 00"
    wide = "18 11 00 00 75 00 00 00 00 00 00 00 00 00 00 00"
    assert opcodes_line(bytes.fromhex(wide)) == "       " + wide


@pytest.mark.parametrize(("byteorder", "regs"), [("little", "a1"), ("big", "1a")])
def test_opcodes_record(byteorder: str, regs: str) -> None:
    record = opcodes_record(bytes.fromhex(f"07{regs}fcff01020304"), byteorder)
    assert record == {
        "code": "0x07",
        "src_reg": "0xa",
        "dst_reg": "0x1",
        "off": ["0xfc", "0xff"],
        "imm": ["0x01", "0x02", "0x03", "0x04"],
    }
    assert list(record) == ["code", "src_reg", "dst_reg", "off", "imm"]


def test_opcodes_record_of_a_wide_immediate_has_twelve_bytes() -> None:
    record = opcodes_record(bytes.fromhex("18220000920000000000000008000000"))
    assert record["imm"] == [f"0x{byte:02x}" for byte in bytes.fromhex("920000000000000008000000")]


@pytest.mark.parametrize("size", range(1, 8))
def test_opcodes_record_of_a_truncated_instruction(size: int) -> None:
    record = opcodes_record(bytes.fromhex("07a1fcff010203")[:size])
    octets = [record["code"], *record["off"], *record["imm"]]
    assert octets == ["0x07", "0xfc", "0xff", "0x01", "0x02", "0x03"][: max(1, size - 1)]
    assert record["src_reg"] == ("0xa" if size > 1 else "0x0")
