/* Maps whose dump by BTF has to be read back: nothing but numbers; and what else values are made of. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum kind { NONE, SOME = 7, NEGATIVE = -3 };

struct numbers {
	__u64 a;
	__s32 b;
	__u16 c, d;
};

struct shape {
	__u32 a;
	struct {
		__s32 b;
		__u32 c;
	};
	struct {
		__u32 d;
	};
	int bits : 5;
	unsigned int rest : 27;
	enum kind kind;
	void *pointer;
	char text[8];
	__u8 bytes[3];
	_Bool yes;
	__u32 grid[2][2];
	__s64 low;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000);
	__type(key, __u32);
	__type(value, struct numbers);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000);
	__type(key, __u32);
	__type(value, struct shape);
} shapes SEC(".maps");

SEC("xdp/devmap") int on_device(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&numbers, &key) || bpf_map_lookup_elem(&shapes, &key) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
