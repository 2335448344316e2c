/* CO-RE relocations of enumerators: existence and value, of 32 and (as far as the compiler can) 64 bits. */
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>

/* linux/bpf.h is not included: its enums are declared here with other values. */
#define SEC(name) __attribute__((section(name), used))

enum pid_type { PIDTYPE_PID = 7, PIDTYPE_SID = 9, PIDTYPE_NOT_THERE = 3 };
enum pid_type___flavor { PIDTYPE_TGID___other = 5, PIDTYPE_GONE = 6 };
enum nothing_like_this { NO_VALUE = 1 };
enum bpf_map_type { BPF_MAP_TYPE_RINGBUF = 1, BPF_MAP_TYPE_NONE_LIKE_THIS = 2 };
enum perf_sample_regs_abi { PERF_SAMPLE_REGS_ABI_64 = -1 }; /* signed here */
typedef enum { SS_CONNECTED = 100 } socket_state;
#if __clang_major__ >= 15
enum big { BIG = 0x123456789abcdefULL, BIGGER }; /* not in the kernel */
enum perf_branch_sample_type { PERF_SAMPLE_BRANCH_USER = 0x700000001ULL };
#endif

__u64 out[32];

SEC("raw_tp/sys_enter") int exists(void *ctx)
{
	out[0] = bpf_core_enum_value_exists(enum pid_type, PIDTYPE_PID);
	out[1] = bpf_core_enum_value_exists(enum pid_type, PIDTYPE_NOT_THERE);
	out[2] = bpf_core_enum_value_exists(enum pid_type___flavor, PIDTYPE_TGID___other);
	out[3] = bpf_core_enum_value_exists(enum pid_type___flavor, PIDTYPE_GONE);
	out[4] = bpf_core_enum_value_exists(enum nothing_like_this, NO_VALUE);
	out[5] = bpf_core_enum_value_exists(socket_state, SS_CONNECTED);
	return 0;
}

SEC("raw_tp/sys_enter") int values(void *ctx)
{
	out[0] = bpf_core_enum_value(enum pid_type, PIDTYPE_PID);
	out[1] = bpf_core_enum_value(enum pid_type, PIDTYPE_SID);
	out[2] = bpf_core_enum_value(enum pid_type___flavor, PIDTYPE_TGID___other);
	out[3] = bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_RINGBUF);
	out[4] = bpf_core_enum_value(enum perf_sample_regs_abi, PERF_SAMPLE_REGS_ABI_64);
	out[5] = bpf_core_enum_value(socket_state, SS_CONNECTED);
	return 0;
}

SEC("raw_tp/sys_enter") int guarded(void *ctx)
{
	if (bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_NONE_LIKE_THIS))
		out[0] = bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_NONE_LIKE_THIS);
	if (bpf_core_enum_value_exists(enum nothing_like_this, NO_VALUE))
		out[1] = bpf_core_enum_value(enum nothing_like_this, NO_VALUE);
	return 0;
}

#if __clang_major__ >= 15
SEC("raw_tp/sys_enter") int wide(void *ctx)
{
	out[0] = bpf_core_enum_value_exists(enum big, BIG);
	if (bpf_core_enum_value_exists(enum big, BIGGER))
		out[1] = bpf_core_enum_value(enum big, BIGGER);
	out[2] = bpf_core_enum_value(enum perf_branch_sample_type, PERF_SAMPLE_BRANCH_USER);
	return 0;
}
#endif

char _license[] SEC("license") = "GPL";
