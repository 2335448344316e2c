/* Counts how often a thread takes a name that nobody else has. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

const volatile char wanted[16] = "";
int renames = 0;

SEC("tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *name)
{
	char found[sizeof(wanted)] = "";

	bpf_probe_read_kernel_str(found, sizeof(found), name);
	for (int i = 0; i < sizeof(found); i++)
		if (found[i] != wanted[i])
			return 0;
	__sync_fetch_and_add(&renames, 1);
	return 0;
}
