/* Programs for hooks of cgroups; all of them let things happen. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/ingress") int incoming(void *ctx)
{
	return 1;
}

SEC("cgroup_skb/ingress") int incoming_too(void *ctx)
{
	return 1;
}

SEC("cgroup/connect4") int connecting(void *ctx)
{
	return 1;
}

SEC("cgroup/connect6") int connecting_too(void *ctx)
{
	return 1;
}

SEC("cgroup/dev") int a_device_with_a_long_name(void *ctx)
{
	return 1;
}

char _license[] SEC("license") = "GPL";
