/* Enumerations of 64 bits, signed and unsigned (clang 16). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum wide { SMALL = 1, HUGE = 0x123456789abcULL };
enum negative { BELOW = -0x123456789abcLL, ABOVE = 7 };

struct wides {
	enum wide wide;
	enum negative negative;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct wides);
	__uint(max_entries, 3);
} sc_wides SEC(".maps");

SEC("socket") int wide_user(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct wides *wides = bpf_map_lookup_elem(&sc_wides, &key);

	return wides && wides->wide == HUGE;
}

char _license[] SEC("license") = "GPL";
