/* One of each thing that `object show` lists: calls, variables of many types, externs, CO-RE relocations. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define KEEP __attribute__((preserve_access_index))

enum state { IDLE = 3, BUSY = 8 };

struct KEEP inner {
	int low;
	union {
		int one;
		long two;
	};
};

struct KEEP task {
	int pid;
	struct inner parts[4];
	unsigned int flag : 3;
	struct task *parent;
};

typedef int (*compare)(const void *, struct task *);

const volatile char word[16] = "hello";
const volatile unsigned long long limit = 7;
static volatile int hidden = 3;
struct task *first SEC(".data.first");
int table[2][3];
compare chosen;
enum state state;

extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_MAYBE __kconfig __weak;
extern const void somewhere __ksym;
extern int known(struct task *task, ...) __ksym;
extern int unsure(int) __ksym __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static __attribute__((noinline)) int leaf(int *value)
{
	bpf_map_pop_elem(&events, value);
	return *value + known(0);
}

__attribute__((noinline)) int middle(int value)
{
	return leaf(&value) + bpf_get_prandom_u32();
}

static int each(int index, void *context)
{
	return bpf_jiffies64() > index + bpf_core_type_size(struct inner);
}

SEC("tp_btf/caller")
int caller(void *ctx)
{
	struct task *task = ctx;

	hidden += CONFIG_HZ + (CONFIG_MAYBE ? 1 : 0) + word[hidden & 7] + limit;
	table[hidden & 1][1] += (long)&somewhere;
	chosen = (compare)(long)hidden;
	state = hidden;
	first = task;
	if (unsure)
		unsure(hidden);
	bpf_loop(2, each, 0, 0);
	return middle(BPF_CORE_READ(task, parent, pid)) + BPF_CORE_READ(task, parts[2].two);
}

SEC("?fentry.s/other")
int other(void *ctx)
{
	struct task *task = ctx;

	return bpf_core_field_exists(task->flag) + BPF_CORE_READ_BITFIELD(task, flag) + bpf_core_type_exists(struct task) +
	       bpf_core_enum_value(enum state, BUSY) + bpf_core_enum_value_exists(enum state, IDLE) +
	       bpf_core_type_size(struct inner) + bpf_core_type_id_kernel(struct inner);
}

SEC("nowhere")
int quiet(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
