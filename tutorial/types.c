/* A map whose values have a bit of everything that C has types for. The program notes the last packet that it saw.
 *
 *   clang -O2 -g -target bpf -c types.c -o types.o
 */

#define SEC(name) __attribute__((section(name), used))

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

enum { BPF_MAP_TYPE_ARRAY = 2 };
enum { XDP_PASS = 2 };

struct xdp_md {
	__u32 data;
	__u32 data_end;
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;

enum size { EMPTY, SMALL, LARGE };

union address {
	__u8 bytes[6];
	__u16 halves[3];
};

struct packet {
	__u64 seen_ns;
	union address from;
	enum size size;
	_Bool broadcast;
	__u32 low : 4;
	__u32 high : 4;
	char note[8];
	int temperature;
};

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[1];
	__u32 *key;
	struct packet *value;
} last SEC(".maps");

/* bpf_metadata_ is a convention: variables of that name in .rodata are shown with the program. */
const volatile char bpf_metadata_author[] SEC(".rodata") = "the workshop";
const volatile int bpf_metadata_chapter SEC(".rodata") = 3;
const volatile __u32 limit = 100;

SEC("xdp")
int note(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 key = 0;
	struct packet *packet = bpf_map_lookup_elem(&last, &key);

	if (!packet || data + 14 > end)
		return XDP_PASS;
	packet->seen_ns = bpf_ktime_get_ns();
	for (int i = 0; i < 6; i++)
		packet->from.bytes[i] = data[6 + i];
	packet->size = end - data > limit ? LARGE : SMALL;
	packet->broadcast = data[0] == 0xff;
	packet->low = data[12] & 15;
	packet->high = data[12] >> 4;
	packet->note[0] = 'h';
	packet->note[1] = 'i';
	packet->note[2] = 0;
	packet->temperature = -4;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
