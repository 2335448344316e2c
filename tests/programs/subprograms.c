/* Functions that call functions: static and global, in .text and in the programs' sections, shared, as callbacks. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define static_noinline static __attribute__((noinline))
#define global_noinline __attribute__((noinline))

struct bpf_map;
struct element { struct bpf_timer timer; __u64 count; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct element);
} elements SEC(".maps");

__u64 total;
const volatile int limit = 3;

/* Never called. */
global_noinline int dead(int x)
{
	return x + 1000;
}

static_noinline int leaf(int x)
{
	total += x;
	return x * limit;
}

static_noinline int middle(int x)
{
	return leaf(x + 1) + leaf(x + 2);
}

global_noinline int shared(int x)
{
	return middle(x) - leaf(x);
}

__weak int overridden(int x)
{
	bpf_printk("overridden %d", x);
	return leaf(x) + 7;
}

static long each(struct bpf_map *map, __u32 *key, struct element *value, void *context)
{
	value->count += leaf(*key);
	return 0;
}

static long step(__u32 index, void *context)
{
	total += shared(index);
	return 0;
}

static int expired(void *map, int *key, struct element *value)
{
	value->count++;
	return 0;
}

SEC("tc") int chain(struct __sk_buff *ctx)
{
	return shared(ctx->len) + overridden(ctx->len);
}

SEC("tc") int same_section(struct __sk_buff *ctx)
{
	return middle(ctx->mark) + shared(1);
}

SEC("xdp") int callbacks(struct xdp_md *ctx)
{
	bpf_for_each_map_elem(&elements, each, 0, 0);
	bpf_loop(5, step, 0, 0);
	return leaf(2);
}

SEC("tc") int timers(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct element *element = bpf_map_lookup_elem(&elements, &key);

	if (element) {
		bpf_timer_init(&element->timer, &elements, 1);
		bpf_timer_set_callback(&element->timer, expired);
	}
	return 0;
}

#ifdef BESIDE /* libbpf 1.x refuses both kinds */
/* A program that another program of its section calls. */
SEC("xdp") __attribute__((noinline)) int beside(struct xdp_md *ctx)
{
	return leaf(ctx->rx_queue_index) & 1;
}

SEC("xdp") int uses_beside(struct xdp_md *ctx)
{
	return beside(ctx) + 1;
}

static __attribute__((noinline, section("xdp"))) int static_beside(int x)
{
	return x ^ leaf(x);
}

SEC("xdp") int uses_static_beside(struct xdp_md *ctx)
{
	return static_beside(ctx->ingress_ifindex) & 1;
}
#endif

char _license[] SEC("license") = "GPL";
