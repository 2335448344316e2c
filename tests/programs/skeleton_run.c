/* Counts the calls of one process, by what a program with a skeleton sets before it loads this. */
#define SEC(name) __attribute__((section(name), used))

static long (*const ns_pid_tgid)(unsigned long long dev, unsigned long long inode, void *ids, unsigned int size) = (void *)120;
static void *(*const map_lookup_elem)(void *map, const void *key) = (void *)1;

struct {
	int (*type)[2]; /* array */
	int (*max_entries)[2];
	unsigned int *key;
	unsigned long long *value;
} totals SEC(".maps");

const volatile unsigned int wanted;
const volatile unsigned long long ns_dev, ns_inode; /* the namespace that it has this number in */
int step = 1;
unsigned long long calls;
int doubled SEC(".data.custom") = 2;
extern int LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));
int version;
struct { char small; long large; } pair;

SEC("raw_tp/sys_enter") int count(void *ctx)
{
	unsigned int key = 1;
	unsigned long long *total;
	struct { unsigned int pid, tgid; } ids;

	if (ns_pid_tgid(ns_dev, ns_inode, &ids, sizeof(ids)) || ids.tgid != wanted)
		return 0;
	calls += step;
	version = LINUX_KERNEL_VERSION;
	pair.large = 1L << 40;
	total = map_lookup_elem(&totals, &key);
	if (total)
		*total += step * doubled;
	return 0;
}

char _license[] SEC("license") = "GPL";
