/* A program for one LSM hook of the tasks in a cgroup. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("lsm_cgroup/socket_connect") int connecting(void *ctx)
{
	return 1;
}

char _license[] SEC("license") = "GPL";
