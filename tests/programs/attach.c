/* Programs whose sections name where they attach; the libraries' paths come from the test. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef LIBRARY
#define LIBRARY "/nosuch.so"
#endif
#ifndef FUNCTION
#define FUNCTION "getpgid"
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 4);
} hits SEC(".maps");

static void hit(int key)
{
	int *count = bpf_map_lookup_elem(&hits, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
}

SEC("tracepoint/syscalls/sys_enter_getpgid") int on_tracepoint(void *ctx) { hit(0); return 0; }
SEC("uprobe/" LIBRARY ":" FUNCTION) int on_start(void *ctx) { hit(1); return 0; }
SEC("uretprobe/" LIBRARY ":" FUNCTION) int on_return(void *ctx) { hit(2); return 0; }
SEC("raw_tp/sys_enter") int on_raw(void *ctx) { hit(3); return 0; }
SEC("xdp") int nowhere(void *ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
