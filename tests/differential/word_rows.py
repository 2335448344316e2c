"""Command lines, most of them wrong or unusual, for test_words.py. `{word}` stands for what its Scene has made."""

from __future__ import annotations

OPTIONS = """
version
v
version junk
-V
--version
--vers
prog show -V
-V prog nosuch
-jV
-pV
-V --foo
-V -h
-h
-h --foo
--help
--hel
prog -h
-jp -h
-x
-xyz
-jx
--foo
--json=1
--js version
--pretty version
--p version
--d version
--n version
--b version
--m version
--bpffs version
--base-btf
-B
-B /nosuch version
-B {text} version
-B {empty} version
-B {dir} version
-B /sys/kernel/btf/vmlinux version
--base-btf /nosuch version
--base-btf=/sys/kernel/btf/vmlinux version
version -B /nosuch
-j -B /nosuch version
-jB/nosuch version
-fmnd version
-l version
-S version
--base-btf=/nosuch version
--base= version
--base={text} version
-- version
version -- -j
-- -j version
version --
-j -j version
-jjpp version
- version
''
'' ''
nosuch
nosuch show
prog nosuch
map nosuch
link nosuch
btf nosuch
gen nosuch
iter nosuch
feature nosuch
struct_ops nosuch
perf nosuch
-j nosuch
help
h
help junk
help help
"""

HELP = """
prog help
p help
p h
prog help junk
map help
m help
ma he
link help
l help
perf help
pe help
feature help
f help
btf help
b help
bt help
gen help
g help
struct_ops help
s help
iter help
i help
iter
iter ''
token help
version help
gen
prog helpx
"""

PROG = """
prog show id {id}
prog show id {id_hex}
prog show id {id_octal}
prog show id +{id}
prog show id ' {id}'
prog show id '{id} '
prog show id 0
prog show id -1
prog show id 99999999
prog show id 4294967295
prog show id 4294967296
prog show id 18446744073709551616
prog show id 0x
prog show id 08
prog show id 1_0
prog show id 0b1
prog show id 0o7
prog show id ''
prog show id abc
prog show id 12x
prog show id 'a"b'
prog show 'a"b' 1
prog show id 'é'
prog show name 'a"b'
prog show pinned '/a"b'
map create {new} type 'a"b' key 4 value 4 entries 4 name a
prog show id
prog show '' {id}
prog show i {id}
prog show t {tag}
prog show n {name}
prog show p {rich}
prog show ID {id}
prog show idx {id}
prog show id {id} junk
prog show 1 2 3
prog show nosuch
prog show nosuch 1
prog list id {id}
prog l id {id}
prog s id {id}
pro sho id {id}
prog show tag {tag}
prog show tag {tag_upper}
prog show tag {tag}junk
prog show tag 1234
prog show tag ''
prog show tag zzzzzzzzzzzzzzzz
prog show tag 0011223344556677
prog show name {name}
prog show name very_long_progr
prog show name nosuch
prog show name ''
prog show name {long}
prog show name {twin}
prog show pinned {rich}
prog show pinned /nosuch
prog show pinned {bpffs}/nosuch
prog show pinned {hash}
prog show pinned {link}
prog show pinned {text}
prog show pinned {bpffs}
prog show pinned ''
prog show pinned
prog dump
prog dump xlated
prog dump nosuch
prog dump nosuch id {id}
prog dump '' id {id}
prog dump x id {id}
prog dump xlated id
prog dump xlated id 99999999
prog dump xlated id {id} junk
prog dump xlated id {id} file
prog dump xlated id {id} file {dir}
prog dump xlated id {id} file /nosuch/x
prog dump xlated id {id} file {out} opcodes
prog dump xlated id {id} opcodes file {out}
prog dump xlated id {id} opcodes linum
prog dump xlated id {id} o l
prog dump xlated id {id} opcodes opcodes
prog dump xlated name {twin}
prog dump xlated name {twin} file {out}
prog dump xlated name {twin} visual
prog dump jited name {twin} file {out}
prog dump xlated name nosuch
prog dump xlated tag 0011223344556677
prog dump xlated pinned {hash}
prog pin
prog p
prog p id {id}
prog pin id
prog pin id {id}
prog pin id {id} ''
prog pin id {id} {new}
prog pin id {id} {new} junk
prog pin id 99999999 {new}
prog pin name nosuch {new}
prog pin name {twin} {new}
prog pin nosuch {id} {new}
prog pin id {id} {rich}
prog pin id {id} {bpffs}/none/x
prog pin id {id} {dir}/x
prog load
prog load {obj}
prog load /nosuch {new}
prog load {text} {new}
prog load {empty} {new}
prog load {dir} {new}
prog load {obj} {rich}
prog load {obj} {new} junk
prog load {obj} {new} type
prog load {obj} {new} type nosuch
prog load {obj} {new} type xdp type xdp
prog load {obj} {new} map
prog load {obj} {new} map nosuch
prog load {obj} {new} map idx
prog load {obj} {new} map idx x
prog load {obj} {new} map idx 0
prog load {obj} {new} map idx 0 id 99999999
prog load {obj} {new} map idx 99 pinned {hash}
prog load {obj} {new} map name nosuch pinned {hash}
prog load {obj} {new} map name counts
prog load {obj} {new} map name counts id 99999999
prog load {obj} {new} map name counts nosuch 1
prog load {obj} {new} dev
prog load {obj} {new} dev nosuch
prog load {obj} {new} offload_dev nosuch
prog load {obj} {new} xdpmeta_dev nosuch
prog load {obj} {new} pinmaps
prog load {obj} {new} pinmaps {new2} pinmaps {new2}
prog load {obj} {new} kernel_btf
prog load {obj} {new}
prog load {obj} {new} type xdp
prog loadall
prog loadall {obj}
prog loadall /nosuch {new}
prog loadall {text} {new}
prog attach
prog attach id {id}
prog attach id {id} nosuch
prog attach id {id} nosuch id 1
prog attach id {id} msg_verdict
prog attach id {id} msg_verdict id
prog attach id {id} msg_verdict id 99999999
prog attach id {id} msg_verdict pinned {hash}
prog attach id {id} m pinned {hash}
prog attach id {id} sk_msg_verdict pinned {hash}
prog attach id {id} sk_msg pinned {hash}
prog attach id 99999999 msg_verdict pinned {hash}
prog attach nosuch 1 msg_verdict pinned {hash}
prog attach name nosuch msg_verdict pinned {hash}
prog attach name {twin} msg_verdict pinned {hash}
prog detach
prog detach id {id}
prog detach id {id} nosuch id 1
prog detach id {id} msg_verdict pinned {hash}
prog detach id {id} stream_parser id 99999999
prog tracelog junk
prog tracelog stdout
prog tracelog stdout id
prog run
prog run id {xdp}
prog run id {xdp} data_in
prog run id {xdp} data_in /nosuch
prog run id {xdp} data_in {dir}
prog run id {xdp} data_in {empty}
prog run id {xdp} data_in {data} repeat
prog run id {xdp} data_in {data} repeat x
prog run id {xdp} data_in {data} repeat ''
prog run id {xdp} data_in {data} repeat 0x2
prog run id {xdp} data_in {data} data_size_out x
prog run id {xdp} data_in {data} ctx_size_out x
prog run id {xdp} data_in {data} data_out /nosuch/x
prog run id {xdp} d {data}
prog run id {xdp} da {data}
prog run id {xdp} data_ {data}
prog run id {xdp} c {data}
prog run id {xdp} '' {data}
prog run id {xdp} data_i {data}
prog run id {xdp} data_in {data} junk
prog run id {xdp} data_in {data} junk 1
prog run id {xdp} data_in {data} data_in {data}
prog run id {xdp} data_in - ctx_in -
prog run id {xdp} repeat 2
prog run id 99999999 data_in {data}
prog run name nosuch data_in {data}
prog run name {twin} data_in {data}
prog run nosuch {xdp} data_in {data}
prog profile
prog profile help
prog profile id {id}
prog profile id {id} nosuch
prog profile id {id} duration
prog profile id {id} duration x cycles
prog profile id {id} duration 1 nosuch
prog profile id {id} duration 1
prog profile id {id} cycles instructions l1d_loads llc_misses itlb_misses
prog profile id 99999999 cycles
prog profile name nosuch cycles
prog profile nosuch 1 cycles
"""

MAP = """
map show id {map_id}
map show id {map_hex}
map show id 99999999
map show id abc
map show id ''
map show id -1
map show id 4294967296
map show id
map show name {map_name}
map show name nosuch
map show name ''
map show name sixteen_chars_xx
map show name {map_twin}
map show tag {tag}
map show nosuch 1
map show '' {map_id}
map show id {map_id} junk
map show nosuch
map show pinned {hash}
map show pinned {rich}
map show pinned {link}
map show pinned /nosuch
map show pinned {text}
map show pinned {bpffs}
map list id {map_id}
map l id {map_id}
map dump
map dump id
map dump id {map_id}
map d id {map_id}
map dump id {map_id} junk
map dump id 99999999
map dump name nosuch
map dump name {map_twin}
map dump nosuch 1
map dump pinned {rich}
map dump pinned {queue}
map dump pinned {ring}
map dump pinned {bloom}
map dump pinned {none}
map update
map update id
map update id {map_id}
map update id {map_id} key
map update id {map_id} key 1 0 0 0
map update id {map_id} key 1 0 0 0 value
map update id {map_id} key 1 0 0 value 1 0 0 0
map update id {map_id} key 1 0 0 0 0 value 1 0 0 0
map update id {map_id} key 1 0 0 0 value 1 0 0
map update id {map_id} key 1 0 0 0 value 1 0 0 0 0
map update id {map_id} key zz 0 0 0 value 1 0 0 0
map update id {map_id} key '' 0 0 0 value 1 0 0 0
map update id {map_id} key -1 0 0 0 value 1 0 0 0
map update id {map_id} key 256 0 0 0 value 1 0 0 0
map update id {map_id} key 08 0 0 0 value 1 0 0 0
map update id {map_id} key 0x1 0x0 00 000 value 1 0 0 0
map update id {map_id} key hex 1 0 0 0 value hex 1 0 0 0
map update id {map_id} key h 1 0 0 0 value he 1 0 0 0
map update id {map_id} key hex 01 00 00 00 value 0x1 0 0 0 any
map update id {map_id} key hex zz 00 00 00 value 1 0 0 0
map update id {map_id} key hex 100 00 00 00 value 1 0 0 0
map update id {map_id} k 1 0 0 0 v 1 0 0 0 a
map update id {map_id} value 1 0 0 0 key 1 0 0 0
map update id {map_id} any key 1 0 0 0 value 1 0 0 0
map update id {map_id} key 1 0 0 0 value 1 0 0 0 noexist
map update id {map_id} key 9 0 0 0 value 1 0 0 0 exist
map update id {map_id} key 1 0 0 0 value 1 0 0 0 any exist
map update id {map_id} key 1 0 0 0 value 1 0 0 0 e
map update id {map_id} key 1 0 0 0 value 1 0 0 0 junk
map update id {map_id} key 1 0 0 0 key 1 0 0 0
map update id {map_id} value 1 0 0 0 value 1 0 0 0
map update id {map_id} junk
map update id 99999999 key 1 0 0 0 value 1 0 0 0
map update name nosuch key 1 0 0 0 value 1 0 0 0
map update name {map_twin} key 1 0 0 0 value 1 0 0 0
map update nosuch 1 key 1 0 0 0 value 1 0 0 0
map update pinned {array} key 9 0 0 0 value 1 0 0 0
map update pinned {array} key 0 0 0 0 value 0 0 0 0 noexist
map update pinned {progs} key 0 0 0 0 value 1 0 0 0
map update pinned {progs} key 0 0 0 0 value id
map update pinned {progs} key 0 0 0 0 value id 99999999
map update pinned {progs} key 0 0 0 0 value pinned {hash}
map update pinned {progs} key 0 0 0 0 value id {xdp}
map update pinned {progs} key 0 0 0 0 value pinned {xdp_pin}
map update pinned {maps} key 0 0 0 0 value 1 0 0 0
map update pinned {maps} key 0 0 0 0 value id
map update pinned {maps} key 0 0 0 0 value pinned {rich}
map update pinned {maps} key 0 0 0 0 value pinned {none}
map update pinned {queue} key 1 0 0 0 value 1 0 0 0
map update pinned {ring} key 1 0 0 0
map update pinned {cpus} key 1 0 0 0 value 2 0 0 0
map lookup
map lookup id {map_id}
map lookup id {map_id} key
map lookup id {map_id} key 1 0 0 0
map lookup id {map_id} key 9 0 0 0
map lookup id {map_id} key 1 0 0
map lookup id {map_id} key 1 0 0 0 0
map lookup id {map_id} key 1 0 0 0 junk
map lookup id {map_id} key 1 0 0 0 value 1 0 0 0
map lookup id {map_id} junk
map lookup id 99999999 key 1 0 0 0
map lookup pinned {queue}
map lookup pinned {cpus} key 1 0 0 0
map lookup pinned {ring}
map lookup pinned {bloom}
map peek
map peek pinned {queue}
map peek pinned {queue} key 1
map peek pinned {none}
map getnext
map getnext id {map_id}
map getnext id {map_id} key
map getnext id {map_id} key 1 0 0 0
map getnext id {map_id} key 1 0 0
map getnext id {map_id} junk
map getnext pinned {array} key 3 0 0 0
map getnext pinned {none}
map getnext id 99999999
map delete
map delete id {map_id}
map delete id {map_id} key
map delete id {map_id} key 9 0 0 0
map delete id {map_id} key 1 0 0
map delete id {map_id} junk
map delete id {map_id} value 1 0 0 0
map delete pinned {array} key 0 0 0 0
map delete id 99999999 key 1 0 0 0
map delete pinned {own} key 1 0 0 0
map push
map push pinned {queue}
map push pinned {queue} value
map push pinned {queue} value 1 0 0
map push pinned {queue} junk
map pop
map pop pinned {none}
map pop id 99999999
map dequeue pinned {own_queue}
map enqueue pinned {own_queue} value 1 0 0 0
map push pinned {own_queue} value 1 0 0 0 exist
map pin
map pin id {map_id}
map pin id {map_id} {new}
map pin id {map_id} {new} junk
map pin id {map_id} {hash}
map pin id {map_id} {dir}/x
map pin id {map_id} {bpffs}/none/x
map pin id 99999999 {new}
map pin name nosuch {new}
map pin nosuch 1 {new}
map event_pipe
map event_pipe id
map event_pipe pinned
map event_pipe id {map_id}
map event_pipe id 99999999
map event_pipe pinned {perf} junk
map event_pipe pinned {perf} cpu
map event_pipe pinned {perf} cpu 0
map event_pipe pinned {perf} index 0
map event_pipe pinned {perf} cpu x index 0
map event_pipe pinned {perf} cpu 0 index x
map event_pipe pinned {perf} cpu 0 index 0 junk
map event_pipe nosuch 1
map freeze
map freeze id
map freeze id {map_id} junk
map freeze id 99999999
map freeze pinned {own}
map freeze pinned {frozen}
map freeze name nosuch
map freeze name {map_twin}
map create
map create {new}
map create {new} type hash key 4 value 4
map create {new} type hash key 4 value 4 entries 4
map create {new} type hash key 4 value 4 entries 4 name a
map create {new} type hash key 4 value 4 entries 4 name sixteen_chars_xx
map create {new} t hash k 4 v 4 e 4 n a f 1
map create {new} type has key 4 value 4 entries 4 name a
map create {new} type nosuch key 4 value 4 entries 4 name a
map create {new} type unspec key 4 value 4 entries 4 name a
map create {new} type 1 key 4 value 4 entries 4 name a
map create {new} type hash type hash key 4 value 4
map create {new} type hash key 4 key 4 value 4
map create {new} type hash value 4 value 4 key 4
map create {new} type hash entries 4 entries 4 key 4
map create {new} type hash flags 1 flags 1 key 4
map create {new} type hash key x value 4 entries 4 name a
map create {new} type hash key '' value 4 entries 4 name a
map create {new} type hash key -4 value 4 entries 4 name a
map create {new} type hash key 4 value x entries 4 name a
map create {new} type hash key 4 value 4 entries x name a
map create {new} type hash key 4 value 4 entries 4 name a flags x
map create {new} type hash key 4 value 4 entries 4 name
map create {new} type hash key 4 value 4 entries 4 junk
map create {new} type hash key 4 value 4 entries 4 junk a
map create {new} type hash key 4 value 4 entries 4 name a junk
map create {new} type hash key 4 value 4 entries 4 name a flags 0xffffffff
map create {new} type hash key 0 value 4 entries 4 name a
map create {new} type hash key 4 value 4 entries 0 name a
map create {new} type hash key 4 value 4 entries 4 name 'a b'
map create {new} type hash key 4 value 4 entries 4 name ''
map create {new} key 4 value 4 entries 4 name a
map create {new} type hash value 4 entries 4 name a
map create {new} type hash key 4 value 4 entries 4 name a dev nosuch
map create {new} type hash key 4 value 4 entries 4 name a offload_dev nosuch
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map pinned {hash}
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map id 99999999
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map name nosuch
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map nosuch 1
map create {new} type hash_of_maps key 4 value 4 entries 4 name a
map create {hash} type hash key 4 value 4 entries 4 name a
map create {dir}/x type hash key 4 value 4 entries 4 name a
map create {bpffs}/none/x type hash key 4 value 4 entries 4 name a
"""

OTHERS = """
link show id {link_id}
link show pinned {link}
link show id 99999999
link show id abc
link show id ''
link show id
link show nosuch
link show nosuch 1
link show id {link_id} junk
link show name x
link show tag x
link show '' {link_id}
link show p {link}
link show pinned /nosuch
link show pinned {bpffs}/nosuch
link show pinned {rich}
link show pinned {hash}
link show pinned {text}
link pin
link pin id {link_id}
link pin id {link_id} {new}
link pin id {link_id} {new} junk
link pin id {link_id} {link}
link pin id {link_id} {dir}/x
link pin id 99999999 {new}
link pin nosuch 1 {new}
link detach
link detach id
link detach id {link_id}
link detach id {link_id} junk
link detach id 99999999
link detach id abc
link detach nosuch 1
link detach pinned {rich}
link detach pinned /nosuch
perf show junk
perf help junk
perf s
perf l
perf list
btf show id {btf}
btf show id {btf} junk
btf show id 99999999
btf show id abc
btf show id ''
btf show id
btf show nosuch
btf show nosuch 1
btf show '' {btf}
btf list id {btf}
btf dump
btf dump id
btf dump nosuch
btf dump nosuch 1
btf dump id {btf}
btf dump i {btf}
btf dump id 99999999
btf dump id abc
btf dump id ''
btf dump id {btf} junk
btf dump id {btf} format
btf dump id {btf} format nosuch
btf dump id {btf} format r
btf dump id {btf} f raw
btf dump id {btf} format raw format raw
btf dump id {btf} format raw junk
btf dump id {btf} format ''
btf dump prog
btf dump prog id
btf dump prog id {id}
btf dump p id {id}
btf dump prog id 99999999
btf dump prog name nosuch
btf dump prog nosuch 1
btf dump prog pinned {hash}
btf dump prog name {twin}
btf dump prog id {xdp_bare}
btf dump map
btf dump map id
btf dump map id {map_id}
btf dump map id 99999999
btf dump map name nosuch
btf dump map nosuch 1
btf dump map pinned {rich}
btf dump map pinned {typed}
btf dump map pinned {typed} key
btf dump map pinned {typed} k
btf dump map pinned {typed} v
btf dump map pinned {typed} kv
btf dump map pinned {typed} all
btf dump map pinned {typed} a
btf dump map pinned {typed} junk
btf dump map pinned {typed} key junk
btf dump map pinned {typed} key value
btf dump map name {map_twin}
btf dump file
btf dump file /nosuch
btf dump file {text}
btf dump file {empty}
btf dump file {dir}
btf dump file {obj}
btf dump file {obj} format raw
btf dump f {obj}
btf dump file {bare_obj}
btf dump file {obj} junk
-B {text} btf dump file {obj}
-B /nosuch btf show
gen object
gen object {out}
gen object {out} /nosuch
gen object {out} {text}
gen object {out} {empty}
gen object {out} {dir}
gen object /nosuch/x {obj}
gen object {out} {obj}
gen o {out} {obj}
gen '' {out} {obj}
gen skeleton
gen skeleton /nosuch
gen skeleton {text}
gen skeleton {empty}
gen skeleton {dir}
gen skeleton {obj} junk
gen skeleton {obj} name
gen skeleton {obj} name a name b
gen skeleton {obj} junk a
gen skeleton {obj} name a junk
gen subskeleton
gen subskeleton /nosuch
gen subskeleton {text}
gen subskeleton {empty}
gen subskeleton {obj} junk
gen subskeleton {obj} name
-L gen subskeleton {obj}
gen min_core_btf
gen min_core_btf /sys/kernel/btf/vmlinux
gen min_core_btf /sys/kernel/btf/vmlinux {out}
gen min_core_btf /nosuch {out} {obj}
gen min_core_btf {text} {out} {obj}
gen min_core_btf /sys/kernel/btf/vmlinux {out} /nosuch
gen min_core_btf /sys/kernel/btf/vmlinux {out} {text}
feature probe nosuch
feature probe kernel kernel
feature probe kernel dev lo
feature probe dev
feature probe dev nosuch
feature probe dev ''
feature probe prefix X
feature probe macros prefix
feature probe macros prefix A prefix B
feature probe macros macros
feature probe full junk
feature list_builtins
feature list_builtins nosuch
feature list_builtins map_typesx
feature list_builtins map_types x
struct_ops show nosuch
struct_ops show nosuch 1
struct_ops show id 99999999
struct_ops show id abc
struct_ops show id ''
struct_ops show id
struct_ops show id {map_id}
struct_ops show name nosuch
struct_ops show id {map_id} junk
struct_ops dump nosuch
struct_ops dump nosuch 1
struct_ops dump id 99999999
struct_ops dump id abc
struct_ops dump id {map_id}
struct_ops dump name nosuch
struct_ops register
struct_ops register /nosuch
struct_ops register {text}
struct_ops register {empty}
struct_ops register {obj}
struct_ops unregister
struct_ops unregister id
struct_ops unregister nosuch
struct_ops unregister nosuch 1
struct_ops unregister id 99999999
struct_ops unregister id abc
struct_ops unregister id {map_id}
struct_ops unregister name nosuch
iter pin
iter pin {iter_obj}
iter pin /nosuch {new}
iter pin {text} {new}
iter pin {empty} {new}
iter pin {obj} {new}
iter pin {iter_obj} {new}
iter pin {iter_obj} {new} map
iter pin {iter_obj} {new} map id
iter pin {iter_obj} {new} map nosuch 1
iter pin {iter_obj} {new} map id 99999999
iter pin {iter_obj} {new} map name nosuch
iter pin {iter_obj} {new} map pinned {rich}
iter pin {iter_obj} {new} map pinned {hash}
iter pin {iter_obj} {link} map pinned {hash}
iter pin {iter_obj} {dir}/x map pinned {hash}
iter pin {iter_obj} {new} junk
"""

PLACES = """
map -j show id {map_id}
map show -j id {map_id}
map show id -j {map_id}
map show id {map_id} -j
map show id {map_id} -p
map show -- id {map_id}
map show -- -j id {map_id}
map show id {map_id} -- -j
-p map show id {map_id}
-p map dump id {map_id}
-p map lookup id {map_id} key 1 0 0 0
-p map lookup id {map_id} key 9 0 0 0
-p map getnext id {map_id}
-p prog show id {id}
-p prog show id abc
-p prog show nosuch
-p prog help
-p nosuch
-p link show id {link_id}
-p link detach
-p btf show id {btf}
-p map show name {map_twin}
-p prog show name {twin}
-f prog show id {id}
-f map show id {map_id}
-f link show id {link_id}
-jfp link show id {link_id}
-fp prog show id {id}
--bpffs --pretty map show id {map_id}
--bpf map show id {map_id}
prog --pre show id {id}
prog --foo show id {id}
prog show id {id} --foo
prog show id {id} -B
prog show id {id} -l
prog show id {id} -h
prog show id {id} --version
-nn map show id {map_id}
-m map show id {map_id}
-L map show id {map_id}
"""

KINDS = """
prog show pinned {bpffs}/prog
prog pin pinned {hash} {new}
prog pin pinned {link} {new}
prog run pinned {hash} data_in {data}
prog attach pinned {hash} msg_verdict pinned {hash}
prog attach pinned {rich} msg_verdict pinned {rich}
prog attach pinned {rich} msg_verdict name {map_twin}
prog attach pinned {rich} msg_verdict name nosuch
prog load {obj} {new} map name {map_typed} pinned {rich}
prog load {obj} {new} map idx 0 pinned {link}
prog load {obj} {new} map idx '' pinned {hash}
prog load {obj} {new} map idx 0 pinned {typed} map idx 0 pinned {typed}
prog load {obj} {new} map name x pinned {typed} map name x pinned {typed}
prog load {obj} {new} map idx 0 pinned {typed}
prog load {obj} {new} map name {map_typed} pinned {typed}
prog load {obj} {new} type xdp pinmaps {new2}
prog dump jited pinned {hash}
prog dump xlated pinned {link}
map pin pinned {rich} {new}
map pin pinned {link} {new}
map pin pinned {hash} {new}
map freeze pinned {rich}
map freeze pinned {link}
map event_pipe pinned {rich}
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map pinned {rich}
map create {new} type hash_of_maps key 4 value 4 entries 4 name a inner_map name {map_twin}
map create {new} t array_of_maps k 4 v 4 e 4 n a i p {typed} i p {typed}
map create {new} type queue key 0 value 4 entries 4 name a
map create {new} type queue key 4 value 4 entries 4 name a
map create {new} type percpu_array key 4 value 4 entries 4 name a flags 0
map create {new} type arena key 0 value 0 entries 4 name a
map update pinned {frozen} key 0 0 0 0 value 1 0 0 0
map update pinned {rich} key 0 0 0 0 value 1 0 0 0
map update pinned {bloom} value 1 0 0 0
map update pinned {bloom} key 1 value 1 0 0 0
map update pinned {perf} key 0 0 0 0 value 1 0 0 0
map update pinned {typed} key 1 0 0 0 value 1 0 0 0 0 0 0 0
map update pinned {typed} key 1 0 0 0 value 1 0 0 0
map lookup pinned {typed} key 1 0 0 0
map lookup pinned {progs} key 0 0 0 0
map lookup pinned {progs} key 1 0 0 0
map lookup pinned {maps} key 0 0 0 0
map lookup pinned {perf} key 0 0 0 0
map lookup pinned {rich} key 1
map lookup pinned {array} key 9 0 0 0
map lookup pinned {array} key 0x1 0x0 0x0 0x0
map lookup pinned {array} key hex 01 0 00 0
map lookup pinned {array} key hex
map lookup pinned {array} key hex 1 2 3
map dump pinned {typed}
map dump pinned {array}
map dump pinned {cpus}
map dump pinned {progs}
map dump pinned {maps}
map dump pinned {perf}
map dump pinned {frozen}
map dump pinned {link}
map getnext pinned {queue}
map getnext pinned {ring}
map getnext pinned {rich}
map getnext pinned {typed}
map delete pinned {queue} key 1
map delete pinned {ring} key 1
map delete pinned {progs} key 1 0 0 0
map delete pinned {perf} key 0 0 0 0
map delete pinned {cpus} key 9 0 0 0
map peek pinned {bloom}
map peek pinned {hash}
map pop pinned {own_queue}
map push pinned {bloom} value 1 0 0 0
map push pinned {own_queue} value pinned {hash}
link pin pinned {hash} {new}
link pin pinned {rich} {new}
link detach pinned {link}
link detach pinned {hash}
btf dump map pinned {link}
btf dump prog pinned {link}
btf dump prog pinned {rich}
iter pin {iter_obj} {new} map pinned {link}
iter pin {iter_obj} {new} map name {map_twin}
iter pin {iter_obj} {new} m p {hash}
iter pin {maps_obj} {new}
iter p {maps_obj} {new}
struct_ops dump id 0
struct_ops unregister id {map_id} junk
gen skeleton {obj} name ''
gen min_core_btf /sys/kernel/btf/vmlinux /nosuch/x {iter_obj}
gen min_core_btf /sys/kernel/btf/vmlinux {out} {iter_obj}
gen min_core_btf /sys/kernel/btf/vmlinux {out} {bare_obj}
btf dump file {obj} format c
btf dump id {btf} format c
btf dump file {obj} unsorted
btf dump file {obj} root_id 1
"""

ROWS = [line for block in (OPTIONS, HELP, PLACES, PROG, MAP, OTHERS, KINDS) for line in block.strip().splitlines()]
_NAMED = ((OPTIONS, "options"), (HELP, "help"), (PLACES, "places"), (PROG + MAP + OTHERS, ""), (KINDS, "kinds"))
_SIZE = 40  # rows in a group, at most


def groups() -> dict[str, list[str]]:
    """Rows that are checked together, by name: those of a verb, some at a time."""
    found: dict[str, list[str]] = {}
    for block, name in _NAMED:
        for row in block.strip().splitlines():
            key = name or " ".join(row.split()[:2])
            while len(found.get(key, ())) >= _SIZE:
                key += "+"
            found.setdefault(key, []).append(row)
    return found
