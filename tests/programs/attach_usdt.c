/* Programs at USDT probes of attach_target.c, and of Python, that keep what the probes tell. */
#include <linux/ptrace.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef _Bool bool;
#include <bpf/usdt.bpf.h>

#ifndef PROGRAM
#define PROGRAM "/usr/bin/true"
#endif
#ifndef PROBE
#define PROBE "arguments"
#endif

#ifndef SECTION
#define SECTION "usdt/"
#endif

int hits_on_probe;
long sum, count, arguments[12];

SEC(SECTION PROGRAM ":ours:" PROBE)
int on_probe(struct pt_regs *ctx)
{
	long value;

	hits_on_probe++;
	count = bpf_usdt_arg_cnt(ctx);
	for (int i = 0; i < 12; i++)
		if (!bpf_usdt_arg(ctx, i, &value)) {
			arguments[i] = value;
			sum += value;
		}
	return 0;
}

#ifdef PYTHON
int hits_on_python;
char event[8];

SEC("usdt/" PYTHON ":python:audit")
int BPF_USDT(on_python, char *name)
{
	char found[8] = {};

	bpf_probe_read_user_str(found, sizeof(found), name);
	if (found[0] == 'w' && found[1] == 'a' && found[2] == 'n' && found[3] == 't') {
		__builtin_memcpy(event, found, sizeof(event));
		hits_on_python++;
	}
	return 0;
}
#endif

char _license[] SEC("license") = "GPL";
