/* Maps with every attribute that a definition can have, those whose size the loader chooses among them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int tail(struct __sk_buff *ctx);

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
};

struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 100); __uint(map_extra, 5); __type(value, __u64); }
	bloom SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 10); __uint(map_flags, BPF_F_NUMA_NODE); __uint(numa_node, 0);
	 __type(key, __u64); __type(value, __u32); } numa SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	 __uint(key_size, 8); __uint(value_size, 24); } sized SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 3); __uint(map_flags, BPF_F_MMAPABLE); __type(key, int);
	 __type(value, struct { char name[12]; int n; }); } mapped SEC(".maps");
#ifdef NOTHING /* the kernel refuses it */
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); } ring_of_nothing SEC(".maps");
#endif
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 5000); } ring_odd SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 12288); } ring_pages SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(max_entries, 3); __type(key, int); __type(value, int); }
	perf_three SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 7); __type(value, int); } queue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 7); __uint(map_flags, BPF_F_NO_PREALLOC);
	 __type(key, __u64); __type(value, int); } trie SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, int); __type(value, __u64); }
	percpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 16); __uint(key_size, 4); __uint(value_size, 80); }
	stacks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, int); }
	storage SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key); __type(value, __u64); }
	cgroup_storage SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, int); __type(value, int); } devmap SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 4); __type(key, int); __type(value, int); } socks SEC(".maps");

struct inner inner_one SEC(".maps"), inner_two SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 5); __type(key, int); __array(values, struct inner); }
	array_of_maps SEC(".maps") = { .values = { [1] = &inner_two, [4] = &inner_one } };
struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 5); __type(key, int); __array(values, struct inner); }
	hash_of_maps SEC(".maps") = { .values = { [3] = &inner_one } };
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 3); __uint(key_size, 4); __array(values, int(void *)); }
	tails SEC(".maps") = { .values = { [2] = (void *)&tail } };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __uint(pinning, LIBBPF_PIN_BY_NAME); __type(key, int);
	 __type(value, int); } kept_by_name SEC(".maps");

SEC("tc") int tail(struct __sk_buff *ctx)
{
	int key = 1;

	bpf_map_lookup_elem(&kept_by_name, &key);
	bpf_map_lookup_elem(&mapped, &key);
	return bpf_map_lookup_elem(&hash_of_maps, &key) != 0;
}

SEC("tc") int first(struct __sk_buff *ctx)
{
	__u64 value = ctx->len;

	bpf_map_push_elem(&bloom, &value, 0);
	bpf_map_lookup_elem(&numa, &value);
	bpf_ringbuf_output(&ring_odd, &value, 8, 0);
	bpf_tail_call(ctx, &tails, 2);
	return 0;
}

char _license[] SEC("license") = "GPL";
