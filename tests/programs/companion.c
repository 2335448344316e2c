/* What BCC's Python API is used over: maps of each kind that has a table, programs of each kind that it attaches. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct key {
	__u32 pid;
	char comm[16];
	__u64 slot;
};

struct event {
	__u32 pid;
	__u8 kind : 3, rest : 5;
	char comm[16];
	__u64 number;
} __attribute__((packed));

const struct event *unused_event __attribute__((unused)); /* for BTF to have it */

struct odd {
	__u32 a, b, c;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100000);
	__type(key, struct key);
	__type(value, __u64);
} counter_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct odd);
} odd_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1000);
	__type(key, int);
	__type(value, __u32);
} percpu_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, __u64);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__uint(key_size, sizeof(int));
	__uint(value_size, 20 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} jumps SEC(".maps");

volatile const __u32 wanted_pid;

static void count(void)
{
	struct key key = { .pid = bpf_get_current_pid_tgid() >> 32 };
	__u64 one = 1, *value;

	bpf_get_current_comm(key.comm, sizeof(key.comm));
	value = bpf_map_lookup_elem(&counter_map, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&counter_map, &key, &one, BPF_ANY);
}

static void send(void *ctx)
{
	struct event event = { .pid = bpf_get_current_pid_tgid() >> 32, .kind = 5, .number = 42 };

	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	bpf_ringbuf_output(&ring, &event, sizeof(event), 0);
}

/* BCC attaches what is called so. */
SEC("tracepoint") int tracepoint__syscalls__sys_enter_getpgid(void *ctx)
{
	count();
	send(ctx);
	return 0;
}

SEC("raw_tp") int on_raw(void *ctx)
{
	int zero = 0;
	__u64 *value = bpf_map_lookup_elem(&seen, &zero);

	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("tp/syscalls/sys_enter_getpriority") int by_section(void *ctx)
{
	count();
	return 0;
}

SEC("uprobe") int on_call(void *ctx)
{
	count();
	bpf_printk("called");
	return 0;
}

SEC("perf_event") int on_clock(void *ctx)
{
	int zero = 0;
	__u64 *value = bpf_map_lookup_elem(&seen, &zero);

	long id = bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID);

	if (value && id >= 0)
		*value = id;
	return 0;
}

SEC("xdp") int on_packet(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_PASS;
}

/* A name does not make it one: it is loaded as what its section says. */
SEC("xdp") int kprobe__is_none(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp") int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
