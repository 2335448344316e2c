/* A map with BTF of each type that the kernel has, values of every shape, and a program that gives them to it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BPF_MAP_TYPE_CGRP_STORAGE 32 /* Linux 6.2 */

typedef __u32 u32;
typedef __u64 u64;
typedef char name_t[8];

enum state { IDLE, BUSY = 5, LOST = -3 };

struct key {
	u32 id;
	char name[4];
};

struct flat {
	u32 a;
	int b;
	u64 c[2];
};

struct inner {
	signed char small;
	const volatile int number;
};

struct shapes {
	signed char s8;
	__u8 u8;
	short s16;
	__u16 u16;
	int s32;
	u32 u32;
	long long s64;
	u64 u64;
	_Bool yes;
	enum state state;
	void *pointer;
	struct inner *typed_pointer;
	char text[16];
	const char constant_text[4];
	name_t typedef_text;
	char one;
	u32 numbers[3];
	__u16 grid[2][3];
	__u8 cube[2][2][2];
	struct inner inner;
	struct inner inners[2];
	struct {
		int in_anonymous;
		union {
			u32 word;
			__u8 bytes[4];
		};
	};
	union {
		u64 whole;
		struct inner *address;
	} named_union;
	u32 bits3 : 3;
	u32 bits29 : 29;
	u64 bits40 : 40;
	_Bool bit_bool : 1;
	enum state bit_enum : 4;
	__int128 wide __attribute__((aligned(16)));
	unsigned __int128 wider;
	struct {
	} empty;
	u32 none[0];
};

struct floats {
	int before;
	float single;
	double twice[2];
	int after;
};

enum __attribute__((packed)) byte { LOW, HIGH = 200 };

struct address {
	u32 prefixlen;
	__u8 bytes[4];
};

struct own_storage {
	u64 count;
	enum state state;
};

#define MAP(map, kind, key_type, value_type, count) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__type(key, key_type); \
		__type(value, value_type); \
		__uint(max_entries, count); \
	} map SEC(".maps")
#define SIZED(map, kind, count) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(key_size, 4); \
		__uint(value_size, 4); \
		__uint(max_entries, count); \
	} map SEC(".maps")
#define KEYLESS(map, kind, value_type, count) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__type(value, value_type); \
		__uint(max_entries, count); \
	} map SEC(".maps")
#define STORAGE(map, kind) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, int); \
		__type(value, struct own_storage); \
	} map SEC(".maps")

MAP(sc_shapes, HASH, struct key, struct shapes, 8);
MAP(sc_floats, ARRAY, u32, struct floats, 2);
MAP(sc_bytes, ARRAY, u32, enum byte, 2);
MAP(sc_ints, HASH, u32, u64, 8);
MAP(sc_flat, ARRAY, u32, struct flat, 3);
MAP(sc_names, HASH, u32, name_t, 4);
MAP(sc_cpus, PERCPU_ARRAY, u32, struct flat, 2);
MAP(sc_cpu_hash, PERCPU_HASH, struct key, u32, 4);
MAP(sc_lru, LRU_HASH, u32, enum state, 4);
MAP(sc_lru_cpus, LRU_PERCPU_HASH, u32, u64, 4);
MAP(sc_sockets, SOCKMAP, u32, u64, 4);
MAP(sc_socket_hash, SOCKHASH, u32, u64, 4);
MAP(sc_reuseport, REUSEPORT_SOCKARRAY, u32, u64, 2);
MAP(sc_devices, DEVMAP, u32, struct bpf_devmap_val, 4);
MAP(sc_device_hash, DEVMAP_HASH, u32, struct bpf_devmap_val, 4);
MAP(sc_cpu_map, CPUMAP, u32, struct bpf_cpumap_val, 4);
SIZED(sc_xsks, XSKMAP, 4);
SIZED(sc_perf, PERF_EVENT_ARRAY, 4);
SIZED(sc_cgroups, CGROUP_ARRAY, 2);
KEYLESS(sc_queue, QUEUE, u64, 4);
KEYLESS(sc_stack, STACK, struct inner, 4);
KEYLESS(sc_bloom, BLOOM_FILTER, u64, 8);
STORAGE(sc_sk_storage, SK_STORAGE);
STORAGE(sc_task_storage, TASK_STORAGE);
STORAGE(sc_inode_storage, INODE_STORAGE);
STORAGE(sc_cgrp_storage, CGRP_STORAGE);
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct address);
	 __type(value, u64); __uint(max_entries, 8); } sc_trie SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } sc_ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096); } sc_user_ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(key_size, 4); __uint(value_size, 80); __uint(max_entries, 4); }
	sc_traces SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key);
	 __type(value, struct own_storage); } sc_cg_storage SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE); __type(key, __u64); __type(value, u64); } sc_cg_cpus SEC(".maps");

struct inner_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 4);
};
struct inner_map sc_inner1 SEC(".maps"), sc_inner2 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 3); __type(key, u32); __array(values, struct inner_map); }
	sc_outer SEC(".maps") = { .values = { [0] = &sc_inner1, [2] = &sc_inner2 } };
struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 3); __type(key, u32); __array(values, struct inner_map); }
	sc_outer_hash SEC(".maps") = { .values = { [7] = &sc_inner1 } };

SEC("cgroup_skb/egress") int uses_storage(struct __sk_buff *ctx)
{
	struct own_storage *mine = bpf_get_local_storage(&sc_cg_storage, 0);
	u64 *of_cpu = bpf_get_local_storage(&sc_cg_cpus, 0);

	mine->count += 1;
	*of_cpu += 1;
	return 1;
}

char _license[] SEC("license") = "GPL";
