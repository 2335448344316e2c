/* Counts how often the threads of one process change their name. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

const volatile int wanted = 0;
int renames = 0;

SEC("tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *name)
{
	if (task->tgid == wanted)
		__sync_fetch_and_add(&renames, 1);
	return 0;
}
