/* What the parts of the application share: the declarations of linux/bpf.h that they need, and the way they say things.
 * No other header is included, so that clang needs nothing but this folder.
 */

#define SEC(name) __attribute__((section(name), used))

/* A map is a struct that nobody fills: its numbers are array sizes and its types are pointers, to be read from BTF. */
#define NUMBER(name, value) int (*name)[value]
#define TYPE(name, type) type *name

typedef unsigned int __u32;
typedef unsigned long long __u64;

enum { BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PROG_ARRAY = 3, BPF_MAP_TYPE_LRU_HASH = 9 };
enum { BPF_ANY = 0 };
enum { XDP_PASS = 2 };

struct xdp_md {
	__u32 data;
	__u32 data_end;
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_trace_printk)(const char *format, __u32 size, ...) = (void *)6;
static long (*bpf_tail_call)(void *ctx, void *table, __u32 index) = (void *)12;

/* A line for whoever reads the trace: bcctool prog tracelog. */
#define say(text, ...)                                                         \
	({                                                                     \
		static const char format[] = text;                             \
		bpf_trace_printk(format, sizeof(format), ##__VA_ARGS__);       \
	})
