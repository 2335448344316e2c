/* Iterators: over the elements of a map, and over all maps; each writes a line for what it comes by. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RELOCATED __attribute__((preserve_access_index))

struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; } RELOCATED;
struct bpf_map { __u32 id; } RELOCATED;
struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; struct bpf_map *map; __u32 *key; void *value; } RELOCATED;
struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; } RELOCATED;

#ifndef MAPS
SEC("iter/bpf_map_elem") int elements(struct bpf_iter__bpf_map_elem *ctx)
{
	static const char format[] = "element %u\n";
	__u32 *key = ctx->key;
	__u64 number;

	if (!key)
		return 0;
	number = *key;
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), &number, sizeof(number));
	return 0;
}
#else
SEC("iter/bpf_map") int maps(struct bpf_iter__bpf_map *ctx)
{
	static const char format[] = "map %u\n";
	struct bpf_map *map = ctx->map;
	__u64 number;

	if (!map)
		return 0;
	number = map->id;
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), &number, sizeof(number));
	return 0;
}
#endif

char _license[] SEC("license") = "GPL";
