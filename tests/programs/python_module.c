/* What a Python module shows and uses: names that Python cannot have, variables, maps of each kind, programs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum verdict { FEW, MANY };
struct note {
	__u64 count;
	enum verdict verdict;
	char comm[8];
	union {
		__u32 word;
		__u8 bytes[4];
	};
	__u32 low: 4;
	__u32 high: 4;
};

/* names */
int class, None, import[2], dotted asm("dotted.name"), dotted_name, __private, _memory, bytes;
char str[4];
_Bool truth;
float real;
struct { int __inside; struct { int deep; } def[2]; } odd;

const volatile __u32 wanted;
const volatile struct { __u16 first; char text[6]; } setting = { 1, "one" };
__u64 hits;
int step = 1;
int own SEC(".data.own") = 7;
static volatile int hidden = 3;
extern int LINUX_KERNEL_VERSION __kconfig;
int version;

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, struct note); }
	notes SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 3); __type(key, __u32); __type(value, __u64); }
	counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
	by_cpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32); }
	hash_by_cpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 2); __type(value, __u32); } waiting SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __uint(key_size, 6); __uint(value_size, 2); }
	untyped SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4); __uint(value_size, 4); }
	tails SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 3); __type(key, __u32); __type(value, __u64); };
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32);
	 __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = (struct inner *)&counts } };

SEC("raw_tp/sys_enter") int count(void *ctx)
{
	__u32 key = 0, pid = bpf_get_current_pid_tgid() >> 32;
	struct note note = { .count = 1, .comm = "python" }, *found;
	__u64 *slot;

	if (pid != wanted)
		return 0;
	hits += step;
	version = LINUX_KERNEL_VERSION;
	slot = bpf_map_lookup_elem(&counts, &key);
	if (slot)
		__sync_fetch_and_add(slot, 1);
	slot = bpf_map_lookup_elem(&by_cpu, &key);
	if (slot)
		*slot += 1;
	found = bpf_map_lookup_elem(&notes, &pid);
	if (found) {
		found->count++;
		found->verdict = found->count > 2 ? MANY : FEW;
	} else {
		note.word = 0x01010101;
		note.low = 5;
		bpf_map_update_elem(&notes, &pid, &note, BPF_ANY);
	}
	return 0;
}

SEC("xdp") int pass(struct xdp_md *ctx)
{
	class += ctx->data_end - ctx->data;
	import[1] += own + hidden;
	odd.def[1].deep++;
	bpf_tail_call(ctx, &tails, 1);
	return XDP_PASS + setting.first - 1;
}

SEC("xdp") int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("cgroup_skb/ingress") int ingress(struct __sk_buff *skb)
{
	return 1;
}

SEC("?xdp") int optional(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
