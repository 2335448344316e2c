"""Where bcctool answers another way than bpftool 7.1 on purpose, or as 7.8 does: why, and what it says."""

from __future__ import annotations

# reason → rows of word_rows.py, each with our status and the first words of our message
_REASONS = {
    "A name or tag that nothing has: silence there, and an error here.": """
prog show name 'a"b' => 255 no program with name 'a"b'
prog show tag 0011223344556677 => 255 no program with tag '0011223344556677'
prog show name very_long_progr => 255 no program with name 'very_long_progr'
prog show name nosuch => 255 no program with name 'nosuch'
prog show name '' => 255 no program with name ''
prog dump xlated name nosuch => 255 no program with name 'nosuch'
prog dump xlated tag 0011223344556677 => 255 no program with tag '0011223344556677'
prog pin name nosuch {new} => 255 no program with name 'nosuch'
prog attach name nosuch msg_verdict pinned {hash} => 255 no program with name 'nosuch'
prog run name nosuch data_in {data} => 255 no program with name 'nosuch'
prog profile name nosuch cycles => 255 no program with name 'nosuch'
map show name nosuch => 255 no map with name 'nosuch'
map dump name nosuch => 255 no map with name 'nosuch'
map update name nosuch key 1 0 0 0 value 1 0 0 0 => 255 no map with name 'nosuch'
map pin name nosuch {new} => 255 no map with name 'nosuch'
map freeze name nosuch => 255 no map with name 'nosuch'
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map name nosuch => 255 no map with name
btf dump prog name nosuch => 255 no program with name 'nosuch'
btf dump map name nosuch => 255 no map with name 'nosuch'
iter pin {iter_obj} {new} map name nosuch => 255 no map with name 'nosuch'
prog attach pinned {rich} msg_verdict name nosuch => 255 no map with name 'nosuch'
""",
    "-1 is an option there; here it is a word, as priorities may be negative.": """
prog show id -1 => 255 can't parse -1 as ID
map show id -1 => 255 can't parse -1 as ID
map update id {map_id} key -1 0 0 0 value 1 0 0 0 => 255 error parsing byte: -1
map create {new} type hash key -4 value 4 entries 4 name a => 255 can't parse -4 as key size
""",
    "An empty word is no number, and numbers are not cut to 32 bits.": """
prog show id 4294967296 => 255 ID 4294967296 is out of range
prog show id 18446744073709551616 => 255 ID 18446744073709551616 is out of range
prog show id '' => 255 can't parse  as ID
prog run id {xdp} data_in {data} repeat '' => 255 can't parse  as repeat number
map show id '' => 255 can't parse  as ID
map show id 4294967296 => 255 ID 4294967296 is out of range
map create {new} type hash key '' value 4 entries 4 name a => 255 can't parse  as key size
link show id '' => 255 can't parse  as ID
btf show id '' => 255 can't parse  as ID
btf dump id '' => 255 can't parse  as ID
prog load {obj} {new} map idx '' pinned {hash} => 255 can't parse  as map index
""",
    "Bytes above 255 are not cut.": """
map update id {map_id} key 256 0 0 0 value 1 0 0 0 => 255 value 256 is out of range for a byte: 0..255
map update id {map_id} key hex 100 00 00 00 value 1 0 0 0 => 255 value 100 is out of range for a byte: 0..255
""",
    "Words that are too many are not ignored.": """
prog pin id {id} {new} junk => 255 expected no more arguments, got: 'junk'
map pin id {map_id} {new} junk => 255 expected no more arguments, got: 'junk'
link pin id {link_id} {new} junk => 255 expected no more arguments, got: 'junk'
perf show junk => 255 expected no more arguments, got: 'junk'
feature list_builtins map_types x => 255 expected no more arguments, got: 'x'
iter pin {iter_obj} {new} junk => 255 expected 'map', got: 'junk'?
""",
    "`nothing` instead of `(null)`.": """
prog dump => 255 expected 'xlated' or 'jited', got: nothing
map event_pipe => 255 expected 'id', 'name' or 'pinned', got: nothing
""",
    "A device, a map or a name twice, or none: not taken.": """
map create {new} t array_of_maps k 4 v 4 e 4 n a i p {typed} i p {typed} => 255 inner map already specified
gen skeleton {obj} name '' => 255 '' is no C identifier, which the object's name has to be
""",
    "Words that a map's type has no use for.": """
map delete pinned {queue} key 1 => 255 unnecessary key
map delete pinned {ring} key 1 => 255 unnecessary key
""",
    "The whole path.": """
prog show pinned {text} => 255 bpf obj get ({text}): directory not in bpf file system
prog show pinned {bpffs} => 255 bpf obj get ({bpffs}): directory not in bpf file system
map show pinned {text} => 255 bpf obj get ({text}): directory not in bpf file system
map show pinned {bpffs} => 255 bpf obj get ({bpffs}): directory not in bpf file system
link show pinned {text} => 255 bpf obj get ({text}): directory not in bpf file system
""",
    "Pins elsewhere than on a bpffs are refused, not mounted over, and -n makes no difference.": """
prog pin id {id} '' => 255 . is not in a bpf file system
prog pin id {id} {dir}/x => 255 {dir} is not in a bpf file system
map pin id {map_id} {dir}/x => 255 {dir} is not in a bpf file system
map create {dir}/x type hash key 4 value 4 entries 4 name a => 255 {dir} is not in a bpf file system
link pin id {link_id} {dir}/x => 255 {dir} is not in a bpf file system
iter pin {iter_obj} {dir}/x map pinned {hash} => 255 {dir} is not in a bpf file system
""",
    "The option that is unknown is named.": """
-xyz => 255 unrecognized option '-x'
-jx => 255 unrecognized option '-x'
""",
    "-B: a reason instead of a number.": """
-B /nosuch version => 255 failed to parse base BTF at '/nosuch': No such file or directory
-B {text} version => 255 failed to parse base BTF at '{text}': it is neither BTF nor an ELF file
-B {empty} version => 255 failed to parse base BTF at '{empty}': it is empty
-B {dir} version => 255 failed to parse base BTF at '{dir}': not a regular file
--base-btf /nosuch version => 255 failed to parse base BTF at '/nosuch': No such file or directory
version -B /nosuch => 255 failed to parse base BTF at '/nosuch': No such file or directory
-j -B /nosuch version => 255 failed to parse base BTF at '/nosuch': No such file or directory
-jB/nosuch version => 255 failed to parse base BTF at '/nosuch': No such file or directory
--base-btf=/nosuch version => 255 failed to parse base BTF at '/nosuch': No such file or directory
--base= version => 255 failed to parse base BTF at '': No such file or directory
--base={text} version => 255 failed to parse base BTF at '{text}': it is neither BTF nor an ELF file
-B {text} btf dump file {obj} => 255 failed to parse base BTF at '{text}': it is neither BTF nor an ELF file
-B /nosuch btf show => 255 failed to parse base BTF at '/nosuch': No such file or directory
""",
    "Newer than 7.1: words, options that go together, `token`; native code without libbfd.": """
token help => 0 Usage: bcctool
prog dump '' id {id} => 0
prog dump xlated id {id} file {out} opcodes => 255 'file' is not compatible with 'opcodes', 'visual', or 'linum'
prog dump xlated id {id} opcodes file {out} => 255 'file' is not compatible with 'opcodes', 'visual', or 'linum'
prog dump xlated id {id} opcodes linum => 0
prog dump xlated id {id} o l => 0
prog dump xlated id {id} opcodes opcodes => 0
prog dump jited name {twin} file {out} => 255 several programs matched
prog load {obj} {new} junk => 255 expected no more arguments, 'type', 'map'
prog load {obj} {new} dev => 255 Warning: 'bcctool prog load [...] dev <ifname>' syntax is deprecated.
prog load {obj} {new} dev nosuch => 255 Warning: 'bcctool prog load [...] dev <ifname>' syntax is deprecated.
prog load {obj} {new} offload_dev nosuch => 255 unrecognized netdevice 'nosuch': No such device
prog load {obj} {new} xdpmeta_dev nosuch => 255 unrecognized netdevice 'nosuch': No such device
prog load {obj} {new} kernel_btf => 255 'kernel_btf' needs at least 1 arguments, 0 found
prog tracelog junk => 255 expected 'stdout' or 'stderr', got: 'junk'?
prog tracelog stdout => 255 expected 'id', 'tag', 'name' or 'pinned', got: nothing
prog tracelog stdout id => 255 expected ID
map create {new} type hash key 4 value 4 entries 4 name sixteen_chars_xx => 0 Warning: the map's name is cut
map create {new} type hash key 4 value 4 entries 4 name a offload_dev nosuch => 255 unrecognized netdevice
prog dump jited pinned {hash} => 255 incorrect object type: map
map create {new} type arena key 0 value 0 entries 4 name a => 255 map create failed: Invalid argument
btf dump file {obj} format c => 0
btf dump id {btf} format c => 0
btf dump file {obj} unsorted => 0
btf dump file {obj} root_id 1 => 0
""",
    "7.1 of the distribution is built without `prog profile`.": """
prog profile => 234 'profile' needs at least 3 arguments, 0 found
prog profile help => 234 'profile' needs at least 3 arguments, 1 found
prog profile id {id} => 234 'profile' needs at least 3 arguments, 2 found
prog profile id {id} nosuch => 255 unknown metric nosuch
prog profile id {id} duration => 255 expected duration
prog profile id {id} duration x cycles => 255 can't parse x as duration
prog profile id {id} duration 1 nosuch => 255 unknown metric nosuch
prog profile id {id} duration 1 => 255 expected a metric: cycles, instructions
prog profile id {id} cycles instructions l1d_loads llc_misses itlb_misses => 255 too many (5) metrics, please
prog profile id 99999999 cycles => 255 get by id (99999999): No such file or directory
prog profile nosuch 1 cycles => 255 expected 'id', 'tag', 'name' or 'pinned', got: 'nosuch'?
""",
    "JSON of `help` is null for every family.": """
iter nosuch => 255
perf nosuch => 255
perf help => 0
pe help => 0
iter help => 0
i help => 0
iter => 0
iter '' => 0
perf help junk => 0
""",
    "One error, and no usage on stderr in JSON.": """
btf dump prog id {xdp_bare} => 254 program {xdp_bare} has no BTF
btf dump map id {map_id} => 254 map {map_id} has no BTF
iter pin => 255 'pin' needs at least 2 arguments, 0 found
iter pin {iter_obj} => 255 'pin' needs at least 2 arguments, 1 found
""",
    "struct_ops: an error instead of an empty list, or nothing.": """
struct_ops show name nosuch => 255 no struct_ops found for nosuch
struct_ops dump name nosuch => 255 no struct_ops found for nosuch
struct_ops register /nosuch => 255 /nosuch: No such file or directory
struct_ops register {text} => 255 {text}: not an ELF file
struct_ops register {empty} => 255 {empty}: not an ELF file
""",
    "-l is --legacy, as in 7.1, where it changes a feature in `version` too.": """
-l version => 0
""",
    "One of two things that are wrong, named before anything is opened or asked of the kernel.": """
prog dump xlated name {twin} visual => 255 'visual' is not compatible with JSON output
map create {new} key 4 value 4 entries 4 name a => 255 map type not specified
""",
    "Types and maps to load with: 7.1 says nothing, or not what there is.": """
prog load {obj} {new} type nosuch => 255 unknown program type 'nosuch'
prog load {obj} {new} map idx 99 pinned {hash} => 255 {obj}: no map with index 99, there are 1
prog load {obj} {new} map name nosuch pinned {hash} => 255 {obj}: no map 'nosuch' in it to be replaced
""",
    "Results that can't be written are none; directories are no input.": """
prog run id {xdp} data_in {dir} => 255 failed to open {dir}: Is a directory
prog run id {xdp} data_in {data} data_out /nosuch/x => 255 failed to open /nosuch/x: No such file or directory
""",
    "A crash, or the usage, of 7.1.": """
map event_pipe id => 255 expected ID
map event_pipe pinned => 255 expected file path
""",
    "Only queues and stacks are popped.": """
map pop pinned {none} => 255 'pop' takes from queues and stacks
""",
    "What can't be loaded or linked is named, with the reason.": """
prog load /nosuch {new} => 255 /nosuch: No such file or directory
prog load {text} {new} => 255 {text}: not an ELF file
prog load {empty} {new} => 255 {empty}: not an ELF file
prog load {dir} {new} => 255 {dir}: is a directory, not an object file
prog load {obj} {rich} => 255 can't pin the object ({rich}): File exists
prog loadall /nosuch {new} => 255 /nosuch: No such file or directory
prog loadall {text} {new} => 255 {text}: not an ELF file
btf dump file {text} => 95 failed to load BTF from {text}: it is neither BTF nor an ELF file
btf dump file {empty} => 251 failed to load BTF from {empty}: it is empty
btf dump file {dir} => 251 failed to load BTF from {dir}: not a regular file
btf dump file {bare_obj} => 195 failed to load BTF from {bare_obj}: it has no .BTF section
gen object {out} /nosuch => 254 failed to link '/nosuch': No such file or directory
gen object {out} {text} => 234 failed to link '{text}': not an ELF file
gen object {out} {empty} => 234 failed to link '{empty}': not an ELF file
gen object {out} {dir} => 234 failed to link '{dir}': is a directory, not an object file
gen object /nosuch/x {obj} => 255 can't write /nosuch/x: No such file or directory
gen skeleton /nosuch => 255 /nosuch: No such file or directory
gen skeleton {text} => 95 {text}: not an ELF file
gen skeleton {empty} => 255 {empty}: not an ELF file
gen skeleton {dir} => 255 {dir}: is a directory, not an object file
gen subskeleton /nosuch => 255 /nosuch: No such file or directory
gen subskeleton {text} => 255 {text}: not an ELF file
gen subskeleton {empty} => 255 {empty}: not an ELF file
gen min_core_btf /nosuch {out} {obj} => 254 failed to load BTF from /nosuch: No such file or directory
gen min_core_btf {text} {out} {obj} => 95 failed to load BTF from {text}: it is neither BTF nor an ELF file
gen min_core_btf /sys/kernel/btf/vmlinux {out} {text} => 95 failed to parse BPF object '{text}': not an ELF file
iter pin {obj} {new} => 234 {obj}: program '{name}' is no iterator: its section, xdp, does not begin with iter/
iter pin {iter_obj} {new} => 247 {iter_obj}: program 'elements' iterates over what is in a map: say which, `map
iter pin {iter_obj} {link} map pinned {hash} => 239 can't pin the object ({link}): File exists
prog load {obj} {new} map name x pinned {typed} map name x pinned {typed} => 255 replacement for map 'x'
gen min_core_btf /sys/kernel/btf/vmlinux /nosuch/x {iter_obj} => 254 can't write /nosuch/x: No such file or
gen min_core_btf /sys/kernel/btf/vmlinux {out} {bare_obj} => 195 failed to parse BPF object '{bare_obj}':
""",
}


def _table(block: str) -> dict[str, tuple[int, str]]:
    rows = {}
    for line in block.strip().splitlines():
        row, _, answer = line.partition(" => ")
        status, _, message = answer.partition(" ")
        rows[row] = (int(status), message)
    return rows


EXPLAINED = {row: answer for block in _REASONS.values() for row, answer in _table(block).items()}
"""Row → status, first words of the message."""
UNPRIVILEGED = _table("""
prog show name x => 255 can't get next program: Operation not permitted
struct_ops dump => 255 can't get next map: Operation not permitted
prog load {obj} /sys/fs/bpf/x => 255 {obj}: map '{map_typed}': map create failed: Operation not permitted
""")
"""The same for a user without rights: what failed is named, and nothing but the error is written."""

NEWER = _table("""
btf dump id {btf} root_id => 234 expecting value for 'root_id' option
btf dump id {btf} root_id x => 234 can't parse x as root_id
btf dump id {btf} root_id 0 => 0
btf dump id {btf} root_id 1 root_id 1 => 234 duplicate root_id 1
btf dump id {btf} root_id 99999 => 234 BTF object {btf} has no type [99999]
btf dump id {btf} r 1 r 2 r 3 r 4 r 5 r 6 r 7 r 8 r 9 r 10 r 11 r 12 r 13 r 14 r 15 r 16 r 0 => 234 too many root_ids
btf dump map pinned {typed} root_id 1 => 234 root_id can't be combined with the key and value types
btf dump map pinned {typed} key root_id 1 => 234 root_id can't be combined with the key and value types
btf dump map pinned {typed} all root_id 1 => 0
btf dump id {btf} unsorted u => 0
prog tracelog stdout id {id} => 0
prog tracelog stde id {id} => 0
prog tracelog stderr id 99999999 => 255 get by id (99999999): No such file or directory
prog tracelog stdout id {id} junk => 255 expected no more arguments, got: 'junk'
prog load {obj} {new} offload_dev lo xdpmeta_dev lo => 255 offload_dev and xdpmeta_dev are mutually exclusive
prog load {obj} {new} offload_dev => 255 'offload_dev' needs at least 1 arguments, 0 found
prog load {obj} {new} xdp lo => 255 {obj}: can't load program '{name}' (section xdp): Operation not supported
prog load {obj} {new} auto => 0 Program {name} does not support autoattach
prog load {obj} {new} pinmaps {dir} => 255 {dir} is not in a bpf file system
-L prog load {obj} {new} => 0
-L prog load {text} {new} => 255 {text}: not an ELF file
-L prog load => 255 'load' needs at least 1 arguments, 0 found
map create {new} type hash key 4 value 4 entries 4 name a offload lo => 255 map create failed: Operation not supported
token show => 0
tok l => 0
token show junk => 255 expected no more arguments, got: 'junk'
token nosuch => 255 Usage: bcctool
struct_ops register {obj} {dir} => 255 no struct_ops found in {obj}
struct_ops register {obj} a b => 255 Usage: bcctool
prog dump xlated id {id} visual file {out} => 255 'file' is not compatible with
prog dump xlated id {id} file {out} f {out} => 0
prog dump xlated id {id} linum l op => 0
prog dump jited id {id} opcodes linum => 0
""")
"""What 7.1 has not: the same, of rows of their own."""
