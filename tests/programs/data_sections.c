/* Global data in every section that may hold some, static, hidden and visible, initialised and not. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile int read_only = 11;
static const volatile char hidden_text[] = "text";
const volatile struct { __u8 a; __u64 b; } padded = { 1, 2 };
const volatile int own_rodata SEC(".rodata.own") = 12;
const volatile long own_rodata_too SEC(".rodata.own") = 13;

int counter = 21;
static volatile int static_counter = 22;
__hidden int hidden_counter = 23;
int own_data SEC(".data.own") = 24;
static volatile int own_static_data SEC(".data.own") = 25;

__u64 zeros[5];
static volatile __u32 static_zero;
__u8 aligned_zero __attribute__((aligned(64)));
#ifdef OWN_BSS /* libbpf 1.1 refuses it */
int own_bss SEC(".bss.own");
#endif
int very_long_name_of_a_variable_that_is_longer_than_the_kernel_takes SEC(".data.very_long_section_name") = 31;

SEC("xdp") int reads(struct xdp_md *ctx)
{
	return read_only + hidden_text[1] + padded.b + own_rodata + own_rodata_too;
}

SEC("xdp") int writes(struct xdp_md *ctx)
{
	counter += ++static_counter;
	hidden_counter += own_data + ++own_static_data;
	zeros[2] += ++static_zero + aligned_zero;
#ifdef OWN_BSS
	own_bss++;
#endif
	very_long_name_of_a_variable_that_is_longer_than_the_kernel_takes++;
	bpf_printk("a format: %d", counter);
	return 0;
}

char _license[] SEC("license") = "GPL";
