/* BTF-defined maps of every form, global data in every kind of section, several programs in one section. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int tail(void *ctx);

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_extra, 3);
	__uint(numa_node, 1);
	__type(key, __u32);
	__type(value, struct { __u64 packets; char name[12]; });
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [2] = &inner_b, [0] = &inner_a },
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [5] = (void *)&tail },
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

const volatile int limit = 7;
int counter = 3;
static volatile int hidden;
__u64 totals[4];
int custom SEC(".data.custom") = 5;
const volatile int table SEC(".rodata.a_very_long_name") = 6;

static __noinline int add(int x)
{
	return x * limit + counter;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	char text[] = "a text that goes into .rodata.str1.1";
	__u32 key = 0;

	bpf_trace_printk(text, sizeof(text));
	hidden++;
	totals[1] += custom + table;
	bpf_map_lookup_elem(&counts, &key);
	bpf_map_lookup_elem(&outer, &key);
	bpf_printk("counted %d", counter);
	return add(key);
}

SEC("xdp") int tail(void *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return XDP_PASS;
}

SEC("?tc") int filter(struct __sk_buff *ctx)
{
	return add(ctx->len);
}

char _license[] SEC("license") = "Dual BSD/GPL";
__u32 _version SEC("version") = KERNEL_VERSION(6, 1, 0);
