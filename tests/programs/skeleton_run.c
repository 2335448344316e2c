/* Counts the calls of one process, by what a program with a skeleton sets before it loads this. */
#define SEC(name) __attribute__((section(name), used))

static unsigned long long (*const get_current_pid_tgid)(void) = (void *)14;
static void *(*const map_lookup_elem)(void *map, const void *key) = (void *)1;

struct {
	int (*type)[2]; /* array */
	int (*max_entries)[2];
	unsigned int *key;
	unsigned long long *value;
} totals SEC(".maps");

const volatile unsigned int wanted;
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

	if (get_current_pid_tgid() >> 32 != wanted)
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
