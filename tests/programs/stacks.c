/* Where the process COMM calls getpgid() from: stacks in two maps, counts of them as tools have them, an address. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef COMM
#define COMM "nobody"
#endif
#define DEPTH 32
#define STACKS (1 << 13) /* so many that two hardly ever want the same place */

struct key {
	__u32 pid;
	int user_stack_id;
	int kernel_stack_id;
	char name[16];
};

struct value {
	__u64 delta;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, DEPTH * sizeof(__u64));
	__uint(max_entries, STACKS);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(map_flags, BPF_F_STACK_BUILD_ID);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, DEPTH * sizeof(struct bpf_stack_build_id));
	__uint(max_entries, STACKS);
} builds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct key);
	__type(value, __u64);
	__uint(max_entries, 1024);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 1024);
} by_id SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
	__uint(max_entries, 1024);
} untyped SEC(".maps");

struct place {
	__u64 ip;
	const void *pointer;
	const void *nowhere;
	char name[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, struct place);
	__uint(max_entries, 1);
} places SEC(".maps");

static __always_inline void count(void *map, void *key)
{
	struct value zero = {};
	__u64 *found;

	bpf_map_update_elem(map, key, &zero, BPF_NOEXIST);
	found = bpf_map_lookup_elem(map, key);
	if (found)
		__sync_fetch_and_add(found, 1);
}

SEC("tracepoint/syscalls/sys_enter_getpgid") int on_getpgid(void *ctx)
{
	struct place place = {};
	struct key key = {};
	__u32 id;

	bpf_get_current_comm(key.name, sizeof(key.name));
#pragma unroll
	for (int at = 0; at < sizeof(COMM); at++)
		if (key.name[at] != COMM[at])
			return 0;
	key.pid = bpf_get_current_pid_tgid() >> 32;
	key.user_stack_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	key.kernel_stack_id = bpf_get_stackid(ctx, &stacks, 0);
	count(&counts, &key);
	id = key.user_stack_id;
	count(&by_id, &id);
	count(&untyped, &id);
	bpf_get_stackid(ctx, &builds, BPF_F_USER_STACK);
	bpf_get_stack(ctx, &place.ip, sizeof(place.ip), 0);
	place.pointer = (const void *)place.ip;
	place.nowhere = (const void *)~0UL;
	__builtin_memcpy(place.name, "\xff\x01", 2);
	bpf_map_update_elem(&places, &place.ip, &place, BPF_ANY);
	return 0;
}

char _license[] SEC("license") = "GPL";
