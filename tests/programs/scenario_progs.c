/* Programs with all that a dump shows, under names and with tags of SALT's own; data in all sections. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef SALT
#define SALT 1
#endif
#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)

typedef unsigned long long count_t;
enum color { RED, GREEN };
struct key { int a; long b; char c[8]; };
struct rq { int unused; };
struct bpf_map;

int tail_end(struct __sk_buff *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct key);
	__type(value, count_t);
	__uint(max_entries, 4);
} sc_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, struct key);
	__uint(max_entries, 2);
} sc_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, 4);
	__array(values, int(void *));
} sc_tails SEC(".maps") = { .values = { [1] = (void *)&tail_end } };

const volatile int limit = 5;
const char bpf_metadata_license[] SEC(".rodata") = "Apache";
const volatile int bpf_metadata_version SEC(".rodata") = 7;
struct key seen = { 7, -8, "seen" };
int total[3];
static volatile int hidden = 9;
int own_data SEC(".data.own") = SALT;

extern const struct rq runqueues __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

static __attribute__((noinline)) int weigh(const struct key *key, enum color color, count_t count)
{
	return key ? key->a + color : limit + (int)count;
}

__attribute__((noinline)) int global_one(int x)
{
	return x * 3 + hidden;
}

static long visit(struct bpf_map *map, int *key, struct key *value, int *sum)
{
	*sum += value->a;
	return 0;
}

SEC("xdp") int NAMED(much_longer_name_of_, SALT)(struct xdp_md *ctx)
{
	struct key key = { 1, SALT };
	int sum = 0;
	count_t *count = bpf_map_lookup_elem(&sc_counts, &key);

	total[1]++;
	if (count)
		__sync_fetch_and_add(count, 1);
	bpf_for_each_map_elem(&sc_keys, visit, &sum, 0);
	return weigh(&key, GREEN, 5) + global_one(sum) + bpf_metadata_version ? XDP_PASS : XDP_DROP;
}

SEC("tc") int NAMED(tail_, SALT)(struct __sk_buff *ctx)
{
	seen.b += ctx->len + own_data;
	bpf_tail_call(ctx, &sc_tails, 1);
	return 0;
}

SEC("tc") int tail_end(struct __sk_buff *ctx)
{
	return ctx->mark;
}

SEC("tc") int kernel_symbols(struct __sk_buff *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return (long)&runqueues != 0;
}

SEC("uprobe") int at_function(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
