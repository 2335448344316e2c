/* Values of the kernel's configuration in variables of every type, and kernel symbols with and without a type. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef KIND /* of one more variable, which the tests choose */
#define KIND int
#endif
#ifndef WEAK
#define WEAK
#endif

#ifdef KCONFIG
extern _Bool CONFIG_BPF __kconfig;
extern _Bool CONFIG_TEST_OFF __kconfig __weak;
extern enum libbpf_tristate CONFIG_TEST_MODULE __kconfig __weak;
extern char CONFIG_TEST_LETTER __kconfig __weak;
extern unsigned short CONFIG_HZ __kconfig;
extern signed char CONFIG_TEST_TINY __kconfig __weak;
extern long CONFIG_TEST_NEGATIVE __kconfig __weak;
extern unsigned long CONFIG_TEST_HEX __kconfig __weak;
extern const char CONFIG_CC_VERSION_TEXT[6] __kconfig;
extern char CONFIG_TEST_STRING[40] __kconfig __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern int LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern int LINUX_NOT_INVENTED __kconfig __weak;

SEC("tc") int program(void *ctx)
{
	long sum = CONFIG_BPF + CONFIG_TEST_OFF + CONFIG_TEST_MODULE + CONFIG_TEST_LETTER + CONFIG_HZ;

	sum += CONFIG_TEST_TINY + CONFIG_TEST_NEGATIVE + CONFIG_TEST_HEX + CONFIG_CC_VERSION_TEXT[0];
	sum += CONFIG_TEST_STRING[0] + LINUX_KERNEL_VERSION + LINUX_HAS_BPF_COOKIE + LINUX_HAS_SYSCALL_WRAPPER;
	return sum + LINUX_NOT_INVENTED;
}
#endif

#ifdef ONE
typedef KIND kind;
extern kind ONE __kconfig WEAK;

SEC("tc") int program(void *ctx)
{
	volatile kind *one = (volatile kind *)&ONE;

	return *(volatile char *)one;
}
#endif

#ifdef KSYMS
struct task_struct {
	int pid;
};
struct rq {
	int unused;
};

extern const void bpf_prog_put __ksym;
extern const void bpf_no_such_thing __ksym __weak;
extern const struct rq runqueues __ksym;
extern const int no_such_variable __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym;
extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release___flavor(struct task_struct *task) __ksym;
extern void bpf_task_release___wrong(int task) __ksym __weak;
extern void bpf_no_such_function(void) __ksym __weak;

SEC("tc") int program(void *ctx)
{
	struct task_struct *task;
	long sum = (long)&bpf_prog_put + (long)&bpf_no_such_thing + (long)&runqueues + (long)&no_such_variable;

	bpf_rcu_read_lock();
	task = bpf_task_from_pid(1);
	if (bpf_task_release___wrong)
		bpf_task_release___wrong(1);
	bpf_task_release___flavor(task);
	if (bpf_no_such_function)
		bpf_no_such_function();
	return sum;
}
#endif

#ifdef ONE_KSYM
#ifdef FUNCTION
extern KIND ONE_KSYM(KIND) __ksym WEAK;
#else
extern const KIND ONE_KSYM __ksym WEAK;
#endif

SEC("tc") int program(void *ctx)
{
	return (long)&ONE_KSYM;
}
#endif

#ifdef ELSEWHERE
extern int elsewhere;

SEC("tc") int program(void *ctx)
{
	return elsewhere;
}
#endif

char _license[] SEC("license") = "GPL";
