/* What the kernel rewrites in a loaded program: map references, helpers, kfuncs, subprograms, callbacks, inlined lookups. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

__u64 total;
__u32 table[16];
const volatile __u32 limit = 7;

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

static __attribute__((noinline)) __u32 count(__u32 n, __u64 *value)
{
	__sync_fetch_and_add(value, n);
	return n * 3 + limit;
}

static long each(void *map, __u32 *key, __u64 *value, void *ctx)
{
	total += *value;
	return 0;
}

static long turn(__u32 i, void *ctx)
{
	table[i & 15] += i;
	return 0;
}

SEC("tc")
int calls(struct __sk_buff *skb)
{
	__u32 key = skb->len & 7;
	__u64 *value = bpf_map_lookup_elem(&hash, &key);

	if (value)
		count(key, value);
	value = bpf_map_lookup_elem(&array, &key);
	if (value)
		*value += 1;
	bpf_for_each_map_elem(&hash, each, 0, 0);
	bpf_loop(20, turn, 0, 0);
	table[key & 7] = count(key, &total);
	bpf_trace_printk("hi\n", 4);
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	if (bpf_ktime_get_ns() & 1)
		bpf_tail_call(skb, &jumps, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
