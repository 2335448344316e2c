/* Programs that only fit the running kernel after relocation: CO-RE, tracepoints and iterators by BTF id. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define RELOCATED __attribute__((preserve_access_index))

struct task_struct {
	int tgid; /* anywhere but here in the kernel */
	int pid;
	char comm[16];
} RELOCATED;
struct task_struct___never { int never_there; } RELOCATED;
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; __u64 session_id; } RELOCATED;
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; } RELOCATED;

int tgid, pid, tgid_by_helper, pid_by_helper, has_never, task_size, tasks;
char comm[16], comm_by_helper[16];
int limit = 3;

SEC("raw_tp") int read_task(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 both = bpf_get_current_pid_tgid();

	tgid = BPF_CORE_READ(task, tgid);
	pid = BPF_CORE_READ(task, pid);
	BPF_CORE_READ_STR_INTO(&comm, task, comm);
	tgid_by_helper = both >> 32;
	pid_by_helper = both;
	bpf_get_current_comm(comm_by_helper, sizeof(comm_by_helper));
	has_never = bpf_core_field_exists(((struct task_struct___never *)task)->never_there) ? 1 : -1;
	task_size = bpf_core_type_size(struct task_struct);
	return 0;
}

SEC("tp_btf/sys_enter") int by_id(void *ctx)
{
	return 0;
}

SEC("iter/task") int count_tasks(struct bpf_iter__task *ctx)
{
	if (ctx->task)
		__sync_fetch_and_add(&tasks, 1);
	return 0;
}

#ifdef NEVER
SEC("raw_tp") int never(void *ctx)
{
	struct task_struct___never *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, never_there);
}
#endif

#ifdef NO_TARGET
SEC("fentry/no_such_function_anywhere") int no_target(void *ctx)
{
	return 0;
}
#endif

char _license[] SEC("license") = "GPL";
