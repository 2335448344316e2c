/* One program of each kind at functions of the kernel, each with a counter of its own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define COUNTED(name, section, result) \
	int hits_##name; \
	SEC(section) int name(void *ctx) \
	{ \
		__sync_fetch_and_add(&hits_##name, 1); \
		return result; \
	}

COUNTED(in_kernel_kprobe, "kprobe/__x64_sys_getpgid", 0)
COUNTED(in_kernel_kretprobe, "kretprobe/__x64_sys_getpgid", 0)
COUNTED(in_kernel_offset, "kprobe/__x64_sys_getpgid+0x0", 0)
COUNTED(in_kernel_ksyscall, "ksyscall/getpgid", 0)
COUNTED(in_kernel_kretsyscall, "kretsyscall/getpgid", 0)
COUNTED(in_kernel_multi, "kprobe.multi/__x64_sys_getpgid", 0)
COUNTED(in_kernel_multi_glob, "kprobe.multi/__x64_sys_getpgi?", 0)
COUNTED(in_kernel_return_glob, "kretprobe.multi/*sys_getpgid", 0)
COUNTED(in_kernel_session, "kprobe.session/__x64_sys_getp?id", 0)
COUNTED(in_kernel_fentry, "fentry/__x64_sys_getpgid", 0)
COUNTED(in_kernel_fexit, "fexit/__x64_sys_getpgid", 0)
COUNTED(in_kernel_fmod_ret, "fmod_ret/security_task_getpgid", 0)
COUNTED(in_kernel_lsm, "lsm/task_getpgid", 0)
COUNTED(on_lsm_cgroup, "lsm_cgroup/socket_connect", 1)
COUNTED(missing_kprobe, "kprobe/no_such_function", 0)
COUNTED(missing_ksyscall, "ksyscall/no_such_call", 0)
COUNTED(missing_multi, "kprobe.multi/no_such_function", 0)
COUNTED(missing_glob, "kprobe.multi/no_such_function*", 0)
COUNTED(missing_end, "kretprobe/__x64_sys_getpgid+4", 0)

char _license[] SEC("license") = "GPL";
