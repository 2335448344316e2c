/* What a loader asks of the kernel: a library to be preloaded that notes the bpf(2) calls made through libc's syscall().
 *
 * Environment: BPF_TRACE_LOG names the file that the records are appended to. BPF_TRACE_SUBSTITUTE=failed answers the
 * creation of a map or program that the kernel refuses with the descriptor of another one, so that the loader goes on;
 * =all does not even ask the kernel for programs.
 *
 * A record is a head of u32 words: command, result (of the kernel, or -errno), result as answered, number of parts;
 * then for each part two u32, tag and size, and as many bytes. bpf_trace.py reads it. Numbers: see linux/bpf.h.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ATTR, INSNS, FUNC_INFO, LINE_INFO, LICENSE, FD_ARRAY, BTF, KEY, VALUE, PATH, FD_MAP, FD_BTF, CORE_RELOS };
enum { MAX_ATTR = 512, MAX_PARTS = 65536 };

struct part { uint32_t tag, size; const void *data; };
struct reference { uint32_t fd, id; char name[16]; };

static struct part parts[MAX_PARTS];
static struct reference references[MAX_PARTS];
static uint32_t nr_parts, nr_references;

static long real(long number, long a, long b, long c, long d, long e, long f)
{
	static long (*next)(long, ...);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	return next(number, a, b, c, d, e, f);
}

static long bpf(int cmd, union bpf_attr *attr, unsigned int size)
{
	return real(SYS_bpf, cmd, (long)attr, size, 0, 0, 0);
}

static void add(uint32_t tag, const void *data, uint64_t size)
{
	if (data && size && nr_parts < MAX_PARTS)
		parts[nr_parts++] = (struct part){ tag, (uint32_t)size, data };
}

static const void *pointer(uint64_t value)
{
	return (const void *)(uintptr_t)value;
}

/* Note which map or BTF object a descriptor stands for: numbers of descriptors say nothing after the call. */
static long refer(uint32_t tag, int fd, void *info, uint32_t size, uint32_t *id)
{
	union bpf_attr attr = { .info = { .bpf_fd = fd, .info = (uintptr_t)info, .info_len = size } };
	struct reference *reference = &references[nr_references];

	if (nr_references == MAX_PARTS || bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return -1;
	nr_references++;
	reference->fd = fd;
	reference->id = *id;
	add(tag, reference, sizeof(*reference));
	return 0;
}

static struct bpf_map_info map_of(int fd)
{
	struct bpf_map_info info = {};

	if (!refer(FD_MAP, fd, &info, sizeof(info), &info.id))
		memcpy(references[nr_references - 1].name, info.name, sizeof(info.name));
	return info;
}

static void btf_of(int fd)
{
	char name[16] = "";
	struct bpf_btf_info info = { .name = (uintptr_t)name, .name_len = sizeof(name) };

	if (fd > 0 && !refer(FD_BTF, fd, &info, sizeof(info), &info.id))
		memcpy(references[nr_references - 1].name, name, sizeof(name));
}

static void note_prog(const union bpf_attr *attr)
{
	const struct bpf_insn *insns = pointer(attr->insns);
	const int *fds = pointer(attr->fd_array);
	int last = -1;
	uint32_t i;

	add(INSNS, insns, (uint64_t)attr->insn_cnt * sizeof(*insns));
	add(LICENSE, pointer(attr->license), strlen(pointer(attr->license)));
	add(FUNC_INFO, pointer(attr->func_info), (uint64_t)attr->func_info_cnt * attr->func_info_rec_size);
	add(LINE_INFO, pointer(attr->line_info), (uint64_t)attr->line_info_cnt * attr->line_info_rec_size);
	add(CORE_RELOS, pointer(attr->core_relos), (uint64_t)attr->core_relo_cnt * attr->core_relo_rec_size);
	for (i = 0; i < attr->insn_cnt; i++) {
		if (insns[i].code == (BPF_JMP | BPF_CALL) && insns[i].src_reg == BPF_PSEUDO_KFUNC_CALL && insns[i].off > last)
			last = insns[i].off;
		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE)
			map_of(insns[i].imm);
		else if (insns[i].src_reg == BPF_PSEUDO_BTF_ID)
			btf_of(insns[i + 1].imm);
		i++;
	}
	add(FD_ARRAY, fds, fds ? (last + 1) * sizeof(*fds) : 0);
	for (; fds && last >= 0; last--)
		btf_of(fds[last]);
	btf_of(attr->attach_btf_obj_fd);
}

static void note_element(const union bpf_attr *attr)
{
	struct bpf_map_info info = map_of(attr->map_fd);

	add(KEY, pointer(attr->key), info.key_size);
	add(VALUE, pointer(attr->value), info.value_size);
	if (info.type == BPF_MAP_TYPE_ARRAY_OF_MAPS || info.type == BPF_MAP_TYPE_HASH_OF_MAPS)
		map_of(*(const int *)pointer(attr->value));
}

static void note_arguments(int cmd, const union bpf_attr *attr)
{
	if (cmd == BPF_PROG_LOAD)
		note_prog(attr);
	else if (cmd == BPF_BTF_LOAD)
		add(BTF, pointer(attr->btf), attr->btf_size);
	else if (cmd == BPF_MAP_CREATE && attr->inner_map_fd)
		map_of(attr->inner_map_fd);
	else if (cmd == BPF_MAP_UPDATE_ELEM)
		note_element(attr);
	else if (cmd == BPF_MAP_FREEZE)
		map_of(attr->map_fd);
	else if (cmd == BPF_OBJ_PIN || cmd == BPF_OBJ_GET)
		add(PATH, pointer(attr->pathname), strlen(pointer(attr->pathname)));
}

static void append(const void *data, uint32_t size, char **at)
{
	memcpy(*at, data, size);
	*at += size;
}

static void write_record(const char *path, uint32_t cmd, int32_t result, int32_t answer)
{
	uint32_t head[4] = { cmd, (uint32_t)result, (uint32_t)answer, nr_parts }, i;
	size_t size = sizeof(head);
	char *buffer, *at;
	int fd;

	for (i = 0; i < nr_parts; i++)
		size += 8 + parts[i].size;
	buffer = at = malloc(size);
	if (!buffer)
		abort();
	append(head, sizeof(head), &at);
	for (i = 0; i < nr_parts; i++) {
		append(&parts[i].tag, 8, &at);
		append(parts[i].data, parts[i].size, &at);
	}
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, buffer, size) != (ssize_t)size)
		abort();
	close(fd);
	free(buffer);
}

/* Something that can be pinned, put into a map, and asked for its id. */
static int other_prog(void)
{
	struct bpf_insn insns[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2 };

	attr.insns = (uintptr_t)insns;
	attr.license = (uintptr_t) "GPL";
	memcpy(attr.prog_name, "substitute", 11);
	return (int)bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int other_map(const char *name)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	memcpy(attr.map_name, name, sizeof(attr.map_name));
	return (int)bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

static long other(int cmd, const union bpf_attr *attr)
{
	if (cmd == BPF_PROG_LOAD)
		return other_prog();
	if (cmd == BPF_MAP_CREATE && !attr->btf_key_type_id && !attr->btf_value_type_id) /* it tries again without */
		return other_map(attr->map_name);
	return cmd == BPF_MAP_UPDATE_ELEM || cmd == BPF_MAP_FREEZE ? 0 : -1;
}

static int wanted(int cmd)
{
	return cmd == BPF_PROG_LOAD || cmd == BPF_BTF_LOAD || cmd == BPF_MAP_CREATE || cmd == BPF_MAP_UPDATE_ELEM ||
	       cmd == BPF_MAP_FREEZE || cmd == BPF_LINK_CREATE || cmd == BPF_RAW_TRACEPOINT_OPEN || cmd == BPF_OBJ_PIN ||
	       cmd == BPF_OBJ_GET;
}

static long traced(const char *log, int cmd, union bpf_attr *attr, uint32_t size)
{
	const char *substitute = getenv("BPF_TRACE_SUBSTITUTE");
	union bpf_attr copy = {};
	long result, answer;
	int error;

	/* The kernel writes into attr, and a caller may know less of it, or more. */
	memcpy(&copy, attr, size < sizeof(copy) ? size : sizeof(copy));
	nr_parts = nr_references = 0;
	add(ATTR, &copy, size < sizeof(copy) ? size : sizeof(copy));
	note_arguments(cmd, &copy);
	if (cmd == BPF_PROG_LOAD && substitute && !strcmp(substitute, "all"))
		result = -1, error = ENOSYS;
	else
		result = bpf(cmd, attr, size), error = errno;
	answer = result < 0 && substitute ? other(cmd, &copy) : result;
	if (cmd == BPF_MAP_CREATE && answer >= 0)
		map_of((int)answer);
	write_record(log, cmd, result < 0 ? -error : (int32_t)result, answer < 0 ? -error : (int32_t)answer);
	errno = error;
	return answer;
}

long syscall(long number, ...)
{
	const char *log = getenv("BPF_TRACE_LOG");
	long a, b, c, d, e, f;
	va_list args;

	va_start(args, number);
	a = va_arg(args, long), b = va_arg(args, long), c = va_arg(args, long);
	d = va_arg(args, long), e = va_arg(args, long), f = va_arg(args, long);
	va_end(args);
	if (number != SYS_bpf || !log || !wanted((int)a))
		return real(number, a, b, c, d, e, f);
	return traced(log, (int)a, (union bpf_attr *)b, (uint32_t)c);
}
