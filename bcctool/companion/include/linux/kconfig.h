/*
 * BCC includes this before every program. Here it stands for the headers of a kernel that has none installed: the
 * kernel's types, made from its BTF, and of what its headers have besides, which no BTF tells, what tracing tools use.
 * Names and values are the kernel's own.
 */
#ifndef __KERNEL__
#define __KERNEL__
#endif
#define BPF_NO_PRESERVE_ACCESS_INDEX /* these are the running kernel's types: nothing has to be relocated */
#define _UAPI__LINUX_BPF_H__         /* BCC's copy of linux/bpf.h, whose types vmlinux.h has too */

#include <generated/autoconf.h>
#include <bcctool/begin.h>
#include <vmlinux.h>
#include <bcctool/end.h>
#include <generated/btf.h>
#include <bcctool/macros.h>
