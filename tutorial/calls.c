/* Counts the system calls of one process, each kind by its number. The process is chosen before this is loaded.
 *
 *   clang -O2 -g -target bpf -c calls.c -o calls.o
 */

#define SEC(name) __attribute__((section(name), used))

typedef unsigned int __u32;
typedef unsigned long long __u64;

enum { BPF_MAP_TYPE_HASH = 1 };
enum { BPF_ANY = 0 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_get_ns_current_pid_tgid)(__u64 dev, __u64 inode, void *ids, __u32 size) = (void *)120;

enum pace { ONCE, SLOW, FAST };

struct call {
	__u64 count;
	__u64 first_ns;
	__u64 last_ns;
	enum pace pace;
};

struct {
	int (*type)[BPF_MAP_TYPE_HASH];
	int (*max_entries)[512];
	__u32 *key;
	struct call *value;
} calls SEC(".maps");

const volatile __u32 wanted;             /* the process */
const volatile __u64 ns_dev, ns_inode;   /* where that is its number: in a container it has others outside */
const volatile __u64 fast_ns = 1000000;  /* what follows sooner is fast */
__u64 total;

SEC("raw_tp/sys_enter")
int on_enter(__u64 *ctx)
{
	__u32 nr = ctx[1];
	struct call *call, first = {};
	struct { __u32 pid, tgid; } ids;
	__u64 now;

	if (bpf_get_ns_current_pid_tgid(ns_dev, ns_inode, &ids, sizeof(ids)) || ids.tgid != wanted)
		return 0;
	now = bpf_ktime_get_ns();
	total++;
	call = bpf_map_lookup_elem(&calls, &nr);
	if (call) {
		call->pace = now - call->last_ns < fast_ns ? FAST : SLOW;
		call->last_ns = now;
		call->count++;
	} else {
		first.count = 1;
		first.first_ns = first.last_ns = now;
		bpf_map_update_elem(&calls, &nr, &first, BPF_ANY);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
