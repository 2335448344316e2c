/* Tell of each program that starts: an event with its process, and how often there was one of this name.
 *
 *   clang -O2 -g -target bpf -c execs.c -o execs.o
 */

#define SEC(name) __attribute__((section(name), used))

typedef unsigned int __u32;
typedef unsigned long long __u64;

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4 };
enum { BPF_ANY = 0 };
#define BPF_F_CURRENT_CPU 0xffffffffULL

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_get_current_comm)(void *buffer, __u32 size) = (void *)16;
static long (*bpf_perf_event_output)(void *ctx, void *map, __u64 flags, void *data, __u64 size) = (void *)25;

struct name {
	char comm[16];
};

struct event {
	__u32 pid;
	char comm[16];
};

const struct event *events_are_such __attribute__((unused)); /* for the object's types to have it */

struct {
	int (*type)[BPF_MAP_TYPE_HASH];
	int (*max_entries)[10240];
	struct name *key;
	__u64 *value;
} counts SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_PERF_EVENT_ARRAY];
	int (*key_size)[4];
	int (*value_size)[4];
} events SEC(".maps");

SEC("tracepoint/sched/sched_process_exec") int tracepoint__sched__sched_process_exec(void *ctx)
{
	struct name name = {};
	struct event event = {.pid = bpf_get_current_pid_tgid() >> 32};
	__u64 one = 1, *count;

	bpf_get_current_comm(&name.comm, sizeof(name.comm));
	bpf_get_current_comm(&event.comm, sizeof(event.comm));
	count = bpf_map_lookup_elem(&counts, &name);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &name, &one, BPF_ANY);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

char _license[] SEC("license") = "GPL";
