/* CO-RE relocations of fields, every kind, against types of the kernel that are declared here as far as they are used. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#ifndef __clang__ /* gcc 12 calls the pointers of bpf_helpers.h as such when a function does so twice */
long own_read(void *out, __u32 size, const void *from) __attribute__((kernel_helper(113)));
long own_task(void) __attribute__((kernel_helper(35)));
#define bpf_probe_read_kernel own_read
#define bpf_get_current_task own_task
#endif

#define RELOCATED __attribute__((preserve_access_index))

struct list_head { struct list_head *next, *prev; } RELOCATED;
struct kuid { __u32 val; } RELOCATED;
struct cred { struct kuid uid, euid; } RELOCATED;

typedef struct { int counter; } RELOCATED atomic_t;
typedef struct { atomic_t refs; } RELOCATED refcount_t;

struct task_struct {
	int exit_code, pid, tgid;
	unsigned in_execve : 1;
	unsigned sched_reset_on_fork : 1;
	struct task_struct *parent;
	struct list_head tasks;
	const struct cred *cred;
	refcount_t usage;
	char comm[16];
	int never_there;
	unsigned no_such_bit : 3;
} RELOCATED;

/* Flavors: other views of the same type. */
struct task_struct___long { unsigned long long flags; long exit_code; } RELOCATED;
struct task_struct___gone { long state; struct { int deep; } nowhere; } RELOCATED;
struct task_struct___wrong { struct list_head comm; struct { int x; } pid; } RELOCATED;

struct iphdr { __u8 version : 4, ihl : 4; __u8 tos; __u16 tot_len; } RELOCATED; /* the other order of the bitfields */
struct tcphdr { __u16 source, dest; __u16 syn : 1, fin : 1; } RELOCATED;
struct qstr { union { struct { __u32 hash, len; }; __u64 hash_len; }; const unsigned char *name; } RELOCATED;
struct in6_addr { union { __u8 u6_addr8[16]; __u16 u6_addr16[8]; __u32 u6_addr32[4]; } in6_u; } RELOCATED;
struct perf_branch_entry { __u64 to; } RELOCATED;
struct perf_branch_stack { struct perf_branch_entry entries[0]; } RELOCATED;
struct perf_callchain_entry { __u64 nr; __u64 ip[]; } RELOCATED; /* a flexible array */
struct mm_struct { struct { struct { int counter; } mm_count; } ; unsigned long start_code; } RELOCATED; /* anonymous */
struct nothing_like_this { int field; struct { int x : 5; } bits; } RELOCATED;

__u64 out[32];

static struct task_struct *current(void)
{
	return (void *)bpf_get_current_task();
}

SEC("raw_tp/sys_enter") int offsets(void *ctx)
{
	struct task_struct *task = current();

	out[0] = BPF_CORE_READ(task, pid);
	out[1] = BPF_CORE_READ(task, parent, parent, tgid);
	out[2] = BPF_CORE_READ(task, cred, euid.val);
	out[3] = BPF_CORE_READ(task, usage.refs.counter);
	out[4] = (long)&task->tasks.prev;
	out[5] = (long)&((struct task_struct *)0)->comm[3];
	out[6] = BPF_CORE_READ((struct task_struct___long *)task, flags);
	return 0;
}

SEC("raw_tp/sys_enter") int strings(void *ctx)
{
	struct task_struct *task = current();
	char comm[16];

	BPF_CORE_READ_STR_INTO(&comm, task, comm);
	out[0] = comm[0];
	return 0;
}

SEC("raw_tp/sys_enter") int unions(void *ctx)
{
	struct in6_addr *address = ctx;
	struct qstr *name = ctx;

	out[0] = BPF_CORE_READ(address, in6_u.u6_addr16[3]);
	out[1] = BPF_CORE_READ(address, in6_u.u6_addr32[2]);
	out[2] = BPF_CORE_READ(name, len);
	out[3] = BPF_CORE_READ(name, hash_len);
	return 0;
}

SEC("raw_tp/sys_enter") int arrays(void *ctx)
{
	struct perf_callchain_entry *entry = ctx;
	struct task_struct *task = current();

	out[0] = BPF_CORE_READ(entry, ip[5]);
	out[1] = BPF_CORE_READ(task, comm[7]);
	out[2] = (long)&((struct perf_branch_stack *)0)->entries[2].to;
	out[3] = (long)&((struct perf_callchain_entry *)0)[2].nr;
	return 0;
}

SEC("raw_tp/sys_enter") int anonymous(void *ctx)
{
	struct mm_struct *mm = ctx;

	out[0] = BPF_CORE_READ(mm, mm_count.counter);
	out[1] = BPF_CORE_READ(mm, start_code);
	return 0;
}

#if __has_builtin(__builtin_preserve_field_info) /* gcc 12 has only the other one */
SEC("raw_tp/sys_enter") int sizes(void *ctx)
{
	struct task_struct *task = current();

	out[0] = bpf_core_field_size(task->comm);
	out[1] = bpf_core_field_size(task->tasks);
	out[2] = bpf_core_field_size(task->comm[2]);
	out[3] = bpf_core_field_size(task->cred);
	out[4] = bpf_core_field_size(((struct task_struct___long *)0)->exit_code);
	out[5] = bpf_core_field_size(((struct iphdr *)0)->ihl);
	return 0;
}

SEC("raw_tp/sys_enter") int exists(void *ctx)
{
	struct task_struct *task = current();

	out[0] = bpf_core_field_exists(task->pid);
	out[1] = bpf_core_field_exists(task->never_there);
	out[2] = bpf_core_field_exists(task->no_such_bit);
	out[3] = bpf_core_field_exists(((struct task_struct___gone *)0)->state);
	out[4] = bpf_core_field_exists(((struct task_struct___gone *)0)->nowhere.deep);
	out[5] = bpf_core_field_exists(((struct nothing_like_this *)0)->field);
	out[6] = bpf_core_field_exists(((struct task_struct___wrong *)0)->comm);
	out[7] = bpf_core_field_exists(((struct task_struct___wrong *)0)->pid);
	out[8] = bpf_core_field_exists(task->comm[15]);
	return 0;
}

SEC("raw_tp/sys_enter") int signs(void *ctx)
{
	struct task_struct *task = current();

	out[0] = __builtin_preserve_field_info(task->pid, BPF_FIELD_SIGNED);
	out[1] = __builtin_preserve_field_info(task->in_execve, BPF_FIELD_SIGNED);
	out[2] = __builtin_preserve_field_info(((struct task_struct___long *)0)->exit_code, BPF_FIELD_SIGNED);
	out[3] = __builtin_preserve_field_info(((struct iphdr *)0)->tot_len, BPF_FIELD_SIGNED);
	return 0;
}

SEC("raw_tp/sys_enter") int bitfields(void *ctx)
{
	struct task_struct *task = current();

	out[0] = BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
	out[1] = BPF_CORE_READ_BITFIELD_PROBED(task, sched_reset_on_fork);
	out[2] = BPF_CORE_READ_BITFIELD_PROBED(task, pid);
	out[3] = BPF_CORE_READ_BITFIELD_PROBED((struct iphdr *)ctx, ihl);
	out[4] = BPF_CORE_READ_BITFIELD_PROBED((struct tcphdr *)ctx, syn);
	return 0;
}

SEC("raw_tp/sys_enter") int shifts(void *ctx)
{
	out[0] = __builtin_preserve_field_info(((struct iphdr *)0)->ihl, BPF_FIELD_LSHIFT_U64);
	out[1] = __builtin_preserve_field_info(((struct iphdr *)0)->ihl, BPF_FIELD_RSHIFT_U64);
	out[2] = __builtin_preserve_field_info(((struct tcphdr *)0)->syn, BPF_FIELD_LSHIFT_U64);
	out[3] = __builtin_preserve_field_info(((struct tcphdr *)0)->syn, BPF_FIELD_BYTE_OFFSET);
	out[4] = __builtin_preserve_field_info(((struct task_struct *)0)->sched_reset_on_fork, BPF_FIELD_BYTE_SIZE);
	out[5] = __builtin_preserve_field_info(((struct task_struct *)0)->pid, BPF_FIELD_LSHIFT_U64);
	out[6] = __builtin_preserve_field_info(((struct task_struct *)0)->pid, BPF_FIELD_RSHIFT_U64);
	return 0;
}

/* What does not resolve, behind a test: libbpf poisons those instructions, and the verifier never gets there. */
SEC("raw_tp/sys_enter") int guarded(void *ctx)
{
	struct task_struct *task = current();
	struct task_struct___gone *gone = (void *)task;
	struct nothing_like_this *nothing = (void *)task;

	if (bpf_core_field_exists(gone->state))
		out[0] = BPF_CORE_READ(gone, state);
	if (bpf_core_field_exists(task->no_such_bit))
		out[1] = BPF_CORE_READ_BITFIELD_PROBED(task, no_such_bit);
	if (bpf_core_field_exists(nothing->field))
		out[2] = BPF_CORE_READ(nothing, field) + BPF_CORE_READ_BITFIELD_PROBED(nothing, bits.x);
	if (bpf_core_field_exists(task->never_there))
		out[3] = bpf_core_field_size(task->never_there);
	return 0;
}
#endif

/* Loads and stores whose width follows the field, and the verifier's own reading of kernel memory. */
SEC("tp_btf/sched_process_exit") int direct(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct task_struct___long *same = (void *)ctx[0];

	out[0] = task->pid;
	out[1] = task->parent->parent->tgid;
	out[3] = same->flags;
	out[4] = task->comm[1];
	out[5] = task->usage.refs.counter;
#if __has_builtin(__builtin_preserve_field_info)
	out[6] = BPF_CORE_READ_BITFIELD(task, in_execve);
	out[7] = BPF_CORE_READ_BITFIELD(task, sched_reset_on_fork);
	if (bpf_core_field_exists(task->never_there))
		out[8] = same->exit_code; /* 8 bytes here, 4 with a sign in the kernel: does not resolve */
#endif
	return 0;
}

char _license[] SEC("license") = "GPL";
