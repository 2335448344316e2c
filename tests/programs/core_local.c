/* CO-RE relocations of every kind, to be resolved against the types of core_target.c. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define RELOCATED __attribute__((preserve_access_index))
#define HOLD(value) ({ __u64 v_ = (value); asm volatile("" ::"r"(v_)); })

struct inner { int a; char b[4]; } RELOCATED;
union either { int i; long l; } RELOCATED;
struct moved {
	int first;
	unsigned long wide;        /* shorter in the target */
	int sign;                  /* of another size in the target: not to be read as it is */
	struct moved *next;
	struct inner list[4];
	struct { int hidden; };    /* in a union there */
	unsigned bits : 3;
	int signed_bits : 5;
	char tail[];
} RELOCATED;
struct moved___old { int gone; int first; } RELOCATED;
struct moved___other_kind { struct inner first; } RELOCATED;
struct shrunk { int all[8]; } RELOCATED;
struct twice { int field; } RELOCATED;
struct only_here { int field; } RELOCATED;
enum colors { RED = 1, GREEN = 2, BLUE___v2 = 3, ORANGE = 4 };
struct split { unsigned second : 20; } RELOCATED;
enum wide { WIDE = 5 };
enum only_here_enum { NOTHING };
typedef int number_t;
typedef int (*callback_t)(struct moved *, int);
struct part { int first; struct inner *inner; };
struct part___more { int first; int never; };
struct part___sign { unsigned int first; };

SEC("raw_tp") int fields(struct moved *m)
{
	HOLD(m->first);
	HOLD(m->wide);
	HOLD(m->next->first);
	HOLD(m->list[2].b[1]);
	HOLD(m->hidden);
	HOLD((long)&m->tail[7]);
	HOLD(((struct moved___old *)m)->first);
	return 0;
}

SEC("raw_tp") int poisoned(struct moved *m)
{
	HOLD(((struct moved___old *)m)->gone);
	HOLD(m->sign);
	HOLD((long)&((struct shrunk *)m)->all[6]);
	HOLD((long)&((struct moved___other_kind *)m)->first);
	HOLD(((struct only_here *)m)->field);
	return 0;
}

SEC("raw_tp") int questions(struct moved *m)
{
	HOLD(bpf_core_field_exists(m->first));
	HOLD(bpf_core_field_exists(((struct moved___old *)m)->gone));
	HOLD(bpf_core_field_size(m->list));
	HOLD(bpf_core_field_size(m->wide));
	HOLD(__builtin_preserve_field_info(m->sign, BPF_FIELD_SIGNED));
	HOLD(__builtin_preserve_field_info(m->wide, BPF_FIELD_SIGNED));
	HOLD(BPF_CORE_READ_BITFIELD(m, bits));
	HOLD(BPF_CORE_READ_BITFIELD(m, signed_bits));
	return 0;
}

SEC("raw_tp") int split(struct split *s)
{
	HOLD(BPF_CORE_READ_BITFIELD(s, second));
	return 0;
}

SEC("raw_tp") int types(struct moved *m)
{
	HOLD(bpf_core_type_id_local(struct moved));
	HOLD(bpf_core_type_id_kernel(struct moved));
	HOLD(bpf_core_type_id_kernel(struct only_here));
	HOLD(bpf_core_type_exists(struct moved));
	HOLD(bpf_core_type_exists(struct only_here));
	HOLD(bpf_core_type_exists(number_t));
	HOLD(bpf_core_type_exists(callback_t));
	HOLD(bpf_core_type_size(struct moved));
	HOLD(bpf_core_type_size(struct only_here));
	return 0;
}

SEC("raw_tp") int enums(void *ctx)
{
	HOLD(bpf_core_enum_value_exists(enum colors, GREEN));
	HOLD(bpf_core_enum_value_exists(enum colors, RED));
	HOLD(bpf_core_enum_value(enum colors, GREEN));
	HOLD(bpf_core_enum_value(enum colors, BLUE___v2));
	HOLD(bpf_core_enum_value_exists(enum only_here_enum, NOTHING));
	HOLD(bpf_core_enum_value(enum wide, WIDE));
	HOLD(bpf_core_enum_value(enum colors, ORANGE));
	return 0;
}

SEC("raw_tp") int missing_enum(void *ctx)
{
	HOLD(bpf_core_enum_value(enum colors, RED));
	return 0;
}

#ifdef MATCHES /* clang 15 and later */
SEC("raw_tp") int matches(void *ctx)
{
	HOLD(bpf_core_type_matches(struct part));
	HOLD(bpf_core_type_matches(struct part___more));
	HOLD(bpf_core_type_matches(struct part___sign));
	HOLD(bpf_core_type_matches(enum colors));
	return 0;
}
#endif

#ifdef AMBIGUOUS
SEC("raw_tp") int ambiguous(struct twice *t)
{
	HOLD(t->field);
	return 0;
}
#endif
