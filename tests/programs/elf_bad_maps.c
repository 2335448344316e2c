/* One map definition that is wrong in the way that the macro says (ULONG, STATIC_VALUE: rare, but right). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
#ifdef INNER_PINNED
	__uint(pinning, LIBBPF_PIN_BY_NAME);
#endif
};

struct middle {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, 4);
#ifdef VALUES_OF_INNER
	__array(values, struct inner);
#endif
};

#ifdef STATIC_VALUE
static __noinline int first(void *ctx) { return 1; }
static __noinline int second(void *ctx) { return first(ctx); }
#endif

#ifdef STATIC
static
#endif
#ifdef NOT_A_STRUCT
int m
#else
struct {
#ifdef NOT_A_POINTER
	int type;
#elif defined(NOT_AN_ARRAY)
	int *type;
#elif defined(VALUES_SIZED)
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
#elif defined(VALUES_WRONG) || defined(STATIC_VALUE)
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
#elif defined(NESTED) || defined(VALUES_OF_INNER) || defined(INNER_PINNED)
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
#elif !defined(NO_TYPE)
	__uint(type, BPF_MAP_TYPE_HASH);
#endif
	__uint(max_entries, 4);
#ifdef KEY_CONFLICT
	__uint(key_size, 4);
	__type(key, long);
#endif
#ifdef VALUE_CONFLICT
	__type(value, char[16]);
	__uint(value_size, 8);
#endif
#ifdef PINNING
	__uint(pinning, 2);
#endif
#ifdef VOID_KEY
	__type(key, void);
#endif
#ifdef ULONG
	enum { value_of_map_extra = 0x12345678 } map_extra;
#endif
#ifdef STATIC_VALUE
	__array(values, int (void *));
#elif defined(NESTED) || defined(VALUES_OF_INNER)
	__array(values, struct middle);
#elif defined(VALUES_SIZED)
	struct inner *values[3];
#elif defined(VALUES_TYPE) || defined(VALUES_WRONG) || defined(INNER_PINNED)
	__array(values, struct inner);
#endif
}
m
#endif
#ifdef STATIC
SEC(".maps");
SEC("xdp") void *program(void *ctx) { return &m; }
#elif defined(STATIC_VALUE)
SEC(".maps") = { .values = { [3] = (void *)&second } };
#else
SEC(".maps");
#endif
