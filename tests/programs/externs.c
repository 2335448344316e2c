/* Externs of every kind that are resolved from the running kernel: configuration, variables, functions. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern char CONFIG_BPF_JIT __kconfig; /* 'y' as a character */
extern int CONFIG_HZ __kconfig;
extern unsigned short CONFIG_NR_CPUS __kconfig;
extern unsigned long CONFIG_HZ_1000 __kconfig __weak;
extern enum libbpf_tristate CONFIG_NET __kconfig;
extern enum libbpf_tristate CONFIG_NO_SUCH_THING __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[24] __kconfig;
extern char CONFIG_CC_VERSION_TEXT[4] __kconfig; /* shorter than the value */
extern int CONFIG_NO_SUCH_NUMBER __kconfig __weak;
extern bool LINUX_HAS_BPF_COOKIE __kconfig __weak;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig __weak;

extern const int bpf_prog_active __ksym; /* a per-CPU variable with a type */
struct rq { int cpu; };
extern const struct rq runqueues __ksym;
extern const void vfs_read __ksym; /* without one: an address of kallsyms */
extern const void no_such_variable __ksym __weak;
extern const int no_such_typed_variable __ksym __weak;

struct task_struct { int pid; }; /* complete, as rq, else they are not what the kernel has */
extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
extern void no_such_function(int number) __ksym __weak;

__u64 out[32];

SEC("raw_tp/sys_enter") int kconfig(void *ctx)
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = CONFIG_BPF_SYSCALL;
	out[2] = CONFIG_BPF_JIT;
	out[3] = CONFIG_HZ;
	out[4] = CONFIG_NR_CPUS;
	out[5] = CONFIG_HZ_1000;
	out[6] = CONFIG_NET;
	out[7] = CONFIG_NO_SUCH_THING;
	out[8] = CONFIG_DEFAULT_HOSTNAME[1];
	out[9] = CONFIG_CC_VERSION_TEXT[2];
	out[10] = CONFIG_NO_SUCH_NUMBER;
	out[11] = LINUX_HAS_BPF_COOKIE;
	out[12] = LINUX_HAS_SYSCALL_WRAPPER;
	return 0;
}

SEC("raw_tp/sys_enter") int variables(void *ctx)
{
	const int *active = bpf_per_cpu_ptr(&bpf_prog_active, 0);
	const void *queue = bpf_this_cpu_ptr(&runqueues);

	out[0] = active ? *active : 0;
	out[1] = (__u64)queue;
	out[2] = (__u64)&vfs_read;
	out[3] = (__u64)&no_such_variable;
	if (&no_such_typed_variable)
		out[4] = no_such_typed_variable;
	return 0;
}

SEC("syscall") int functions(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1);

	if (task)
		bpf_task_release(task);
	if (bpf_rcu_read_lock && bpf_rcu_read_unlock) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
	}
	if (no_such_function)
		no_such_function(3);
	return 0;
}

char _license[] SEC("license") = "GPL";
