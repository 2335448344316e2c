/* What a skeleton shows: variables of every type and section, two programs, a map. */
#define SEC(name) __attribute__((section(name), used))

typedef unsigned int u32;
typedef unsigned long long u64;
typedef int quad[4];
typedef int (*callback)(const char *, volatile int);
typedef int function(int);
typedef void *handle;
enum color { RED, GREEN };
struct point { int x; char y; };
struct undefined;

struct {
	int (*type)[1];
	int (*max_entries)[4];
	u32 *key;
	u64 *value;
} table_map SEC(".maps");

int data_int = 1;
static volatile int hidden_static = 5;
char byte_one = 1;
long after_a_gap = 2;
char byte_two = 3;
short aligned_short = 3;
int weak_one __attribute__((weak)) = 4;
int hidden_one __attribute__((visibility("hidden"))) = 4;
int dotted asm("with.dots") = 3;

const volatile int constant = 7;
const char text[11] = "hello";
volatile const u64 constant_long = 8;
const char *const pointer = 0;
const char *const volatile *const deep_pointer = 0;
const quad constant_quad = {1};
const int matrix[2][3] = {1};
const char *const strings[4] = {0};
int (*const constant_function)(const char *, volatile int *) = 0;
const callback callbacks[3] = {0};
int (*const functions[2])(const int *const) = {0};
function *const no_typeof = 0;
const handle constant_handle = 0;

int zero;
char small[3][5];
struct point corner;
enum color paint;
struct {
	int first;
	union {
		char in_union;
		long wide;
	};
	enum { ANON_A, ANON_B = -1 } choice;
	struct point nested;
	int (*method)(const int *);
	struct { int deep: 3; long: 40; int deeper: 7; } bits[2];
} anonymous;
union { int i; char c; } either;
int (*returns_function(int))(char);
int (*(*function_of_function)(int))(char);
void *(*(*worse)(int (*)(void *), void *))(int);
void (*no_parameters)(void);
int (*variadic)(const char *, ...);
struct undefined *opaque;
callback single;
_Bool truth;
long long after_bool;
float real;
double precise;
struct { char c; int i; } __attribute__((packed)) packed;
struct { char c; long l __attribute__((aligned(16))); } roomy;
struct { char a; short b __attribute__((packed, aligned(2))); char c; } half;
struct { int a: 3; int: 0; int b: 5; long c: 40; char d; int e: 1; } fields;
struct { _Bool a: 1; unsigned char b: 7; int: 16; char c; } more_fields;
struct { int size; int tail[]; } flexible;
char near;
int far __attribute__((aligned(64)));
int (*pointer_to_array)[5];
static int static_zero;
int in_custom SEC(".data.custom") = 3;
const int in_constants SEC(".rodata.foo-bar_and_longer") = 4;
extern int LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));
extern const _Bool CONFIG_BPF __attribute__((section(".kconfig"), weak));

SEC("raw_tp/sys_enter") int first_prog(void *ctx)
{
	hidden_static += dotted;
	static_zero += hidden_one;
	data_int += constant + LINUX_KERNEL_VERSION + CONFIG_BPF + byte_one + byte_two + after_a_gap + aligned_short;
	return static_zero + hidden_static;
}

SEC("tp/syscalls/sys_enter_getpid") int second_prog(void *ctx)
{
	return zero++;
}

char _license[] SEC("license") = "GPL";
