/* One program with everything that a dump shows: subprograms, source lines, global data, metadata, all reference kinds. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef unsigned long long count_t;
typedef struct { int x; } anonymous_t;
enum color { RED, GREEN };
struct key { int a; long b; char c[8]; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct key);
	__type(value, count_t);
	__uint(max_entries, 4);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, struct key);
	__uint(max_entries, 4);
} keys SEC(".maps");

const volatile int threshold = 5;
int seen = 7;
int total;
volatile const char bpf_metadata_author[] SEC(".rodata") = "bcctool";
volatile const int bpf_metadata_revision SEC(".rodata") = 3;

static __attribute__((noinline)) int weigh(const struct key *key, enum color color, const char *const text, count_t count,
					   anonymous_t *anonymous)
{
	bpf_printk("weigh %d %llu", color, count);
	return key ? key->a + anonymous->x : threshold;
}

static __attribute__((noinline)) int note(void *ctx, volatile int *place)
{
	return *place + seen++;
}

static long visit(struct bpf_map *map, int *key, struct key *value, int *sum)
{
	*sum += value->a;
	return 0;
}

SEC("xdp") int very_long_program_name(struct xdp_md *ctx)
{
	struct key key = { 1, 2 };
	anonymous_t anonymous = { 3 };
	volatile int place = 3;
	int sum = 0;
	count_t *count = bpf_map_lookup_elem(&counts, &key);

	total++;
	if (count)
		__sync_fetch_and_add(count, 1);
	bpf_for_each_map_elem(&keys, visit, &sum, 0);
	return weigh(&key, RED, 0, 5, &anonymous) + note(ctx, (int *)&place) + sum ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
