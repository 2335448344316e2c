/* Maps as before BTF, with more fields than bpf_map_def has, and a static function beside a program. */
struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags, id, pinning;
};

#define SEC(name) __attribute__((section(name), used))

struct bpf_map_def SEC("maps") hash = { 1, 4, 8, 64, 1, 0, 0 };
struct bpf_map_def SEC("maps") array = { 2, 4, 16, 32, 0, 0, EXTRA };
struct bpf_map_def SEC("maps/stacks") stacks = { 7, 4, 1016, 10, 0, 0, 0 };

static void *(*lookup)(void *map, const void *key) = (void *)1;

static __attribute__((noinline)) SEC("socket") int helper(int key)
{
	return lookup(&hash, &key) ? 1 : 0;
}

SEC("socket") int program(void *ctx)
{
	int key = 1;

	return lookup(&array, &key) ? helper(key) : lookup(&stacks, &key) != 0;
}

char _license[] SEC("license") = "GPL";
