/* What the kernel is to supply: configuration, variables, functions; and struct_ops. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_SMP __kconfig;
extern enum libbpf_tristate CONFIG_VETH __kconfig __weak;
extern char CONFIG_CC_VERSION_TEXT[20] __kconfig __weak;
extern unsigned long LINUX_KERNEL_VERSION __kconfig;
extern const void some_symbol __ksym __weak;
extern const unsigned long other_symbol __ksym __weak;
extern void some_function(void *ctx) __ksym __weak;
extern void other_function(void *ctx, long *z) __ksym __weak;

struct tcp_congestion_ops {
	void (*init)(void *sk);
	char name[16];
};

int calls;

SEC("struct_ops/start") void start(void *sk)
{
	calls += CONFIG_HZ;
}

SEC(".struct_ops") struct tcp_congestion_ops one = { .init = (void *)start, .name = "one" };
#ifndef NO_STRUCT_OPS_LINK /* libbpf 1.1 does not know it yet */
SEC(".struct_ops.link") struct tcp_congestion_ops two = { .init = (void *)start, .name = "two" };
#endif

SEC("tc") int program(void *ctx)
{
	long z = 0;

	if (some_function)
		some_function(ctx);
	if (other_function)
		other_function(ctx, &z);
	return CONFIG_HZ + CONFIG_SMP + CONFIG_VETH + CONFIG_CC_VERSION_TEXT[1] + LINUX_KERNEL_VERSION +
	       (&some_symbol != 0) + (&other_symbol != 0);
}

char _license[] SEC("license") = "GPL";
