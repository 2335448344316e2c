/* CO-RE relocations of types: ids, existence, sizes, and what clang 15 added: matches. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define RELOCATED __attribute__((preserve_access_index))
#define BPF_TYPE_MATCHES_KIND 2

struct task_struct { int pid; } RELOCATED;
struct task_struct___same_name { char comm[16]; } RELOCATED;
struct list_head { struct list_head *next, *prev; } RELOCATED;
struct list_head___other { int next; } RELOCATED;
union bpf_attr___mine { __u32 map_type; } RELOCATED;
struct nothing_like_this { int field; } RELOCATED;
union task_struct___union { int pid; } RELOCATED;
typedef struct { int counter; } atomic_t;
typedef int pid_t;
typedef pid_t gone_t;
typedef int (*work_func_t)(void *);
enum pid_type { PIDTYPE_PID };
enum nothing_either { NONE };
struct own_type { struct task_struct *task; long numbers[4]; };

__u64 out[32];

SEC("raw_tp/sys_enter") int local_ids(void *ctx)
{
	out[0] = bpf_core_type_id_local(struct own_type);
	out[1] = bpf_core_type_id_local(pid_t);
	out[2] = bpf_core_type_id_local(struct nothing_like_this);
	return 0;
}

SEC("raw_tp/sys_enter") int kernel_ids(void *ctx)
{
	out[0] = bpf_core_type_id_kernel(struct task_struct);
	out[1] = bpf_core_type_id_kernel(struct task_struct___same_name);
	out[2] = bpf_core_type_id_kernel(struct nothing_like_this);
	out[3] = bpf_core_type_id_kernel(pid_t);
	out[4] = bpf_core_type_id_kernel(enum pid_type);
	out[5] = bpf_core_type_id_kernel(work_func_t);
	out[6] = bpf_core_type_id_kernel(union bpf_attr___mine);
	out[7] = bpf_core_type_id_kernel(int);
	return 0;
}

SEC("raw_tp/sys_enter") int exists(void *ctx)
{
	out[0] = bpf_core_type_exists(struct task_struct);
	out[1] = bpf_core_type_exists(struct nothing_like_this);
	out[2] = bpf_core_type_exists(union task_struct___union);
	out[3] = bpf_core_type_exists(atomic_t);
	out[4] = bpf_core_type_exists(gone_t);
	out[5] = bpf_core_type_exists(enum pid_type);
	out[6] = bpf_core_type_exists(enum nothing_either);
	out[7] = bpf_core_type_exists(work_func_t);
	out[8] = bpf_core_type_exists(struct list_head___other);
	return 0;
}

SEC("raw_tp/sys_enter") int sizes(void *ctx)
{
	out[0] = bpf_core_type_size(struct task_struct);
	out[1] = bpf_core_type_size(struct list_head);
	out[2] = bpf_core_type_size(struct nothing_like_this);
	out[3] = bpf_core_type_size(pid_t);
	out[4] = bpf_core_type_size(union bpf_attr___mine);
	out[5] = bpf_core_type_size(enum pid_type);
	return 0;
}

#if __clang_major__ >= 15
SEC("raw_tp/sys_enter") int matches(void *ctx)
{
	out[0] = bpf_core_type_matches(struct task_struct);
	out[1] = bpf_core_type_matches(struct list_head);
	out[2] = bpf_core_type_matches(struct list_head___other);
	out[3] = bpf_core_type_matches(struct nothing_like_this);
	out[4] = bpf_core_type_matches(enum pid_type);
	out[5] = bpf_core_type_matches(atomic_t);
	out[6] = bpf_core_type_matches(union bpf_attr___mine);
	out[7] = bpf_core_type_matches(union task_struct___union);
	return 0;
}
#endif

char _license[] SEC("license") = "GPL";
