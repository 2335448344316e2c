/* A function of the kernel that every open goes through, seen at its start and at its end. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef FUNCTION
#define FUNCTION "do_sys_openat2"
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 2);
} hits SEC(".maps");

static void hit(int key)
{
	int *count = bpf_map_lookup_elem(&hits, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
}

SEC("kprobe/" FUNCTION) int start(void *ctx)
{
	hit(0);
	return 0;
}

SEC("kretprobe/" FUNCTION) int end(void *ctx)
{
	hit(1);
	return 0;
}

char _license[] SEC("license") = "GPL";
