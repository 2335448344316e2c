/*
 * In the place of linux/kconfig.h, which BCC includes before every program, for a kernel without BTF: the types of the
 * UAPI headers, under the names that the kernel has for them. They do for programs that look at packets.
 */
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1

#include <linux/types.h>

typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef _Bool bool;
typedef __kernel_size_t size_t;
typedef __kernel_pid_t pid_t;
typedef unsigned long uintptr_t;
enum { false, true };

#include <bcctool/macros.h>
