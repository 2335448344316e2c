/* Programs whose links only kernels with kprobes and trampolines have. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PROGRAM(name, section) \
	SEC(section) int name(void *ctx) \
	{ \
		return 0; \
	}

PROGRAM(probe, "kprobe/do_nanosleep+5")
PROGRAM(returns, "kretprobe/do_nanosleep")
PROGRAM(several, "kprobe.multi/do_nanoslee*")
PROGRAM(of_module, "kretprobe.multi/veth_open")
PROGRAM(entry, "fentry/do_nanosleep")
PROGRAM(security, "lsm/file_open")

char _license[] SEC("license") = "GPL";
