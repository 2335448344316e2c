/* Arithmetic, branches, memory, atomics and byte order, varied enough that clang emits most instruction forms. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
static u64 (*ktime)(void) = (void *)5;

u64 counters[8];
volatile u32 knob = 3;

struct packet {
	u8 kind;
	u16 port;
	u32 address;
	u64 stamp;
};

static __attribute__((noinline)) u64 mix(u64 a, u64 b, u32 c)
{
	a = a * 33 + b / 7 - c % 11;
	a ^= b << 13;
	a |= b >> 7;
	a &= ~(u64)c;
	a -= (s64)b >> 3;
	return -a * b / (c | 1) % (a | 1);
}

static __attribute__((noinline)) u32 mix32(u32 a, u32 b, s32 c)
{
	a = a * 33 + b / 7 - b % 11;
	a ^= b << (c & 31);
	a |= b >> 7;
	a -= c >> 3;
	return -a * b / (a | 1) % (b | 1) + (c >> (b & 31));
}

SEC("socket")
int compare(struct packet *p)
{
	u64 a = p->stamp, b = p->address;
	s64 x = a, y = b;
	u32 c = p->address;
	s32 d = p->port;
	int score = 0;

	if (a == 5) score += knob;
	if (a != b) score -= knob;
	if (a > b) score ^= knob;
	if (a >= 100) score |= knob;
	if (x < -3) score &= knob;
	if (x <= y) score *= knob;
	if (x > y + 2) score += knob << 2;
	if (a & 0x1000) score += knob >> 1;
	if (a & b) score += knob + 1;
	if (c < 7) score += knob + 2;
	if (d < -7) score += knob + 3;
	if (c == (u32)d) score += knob + 4;
	while (score < 5 && knob)
		score++;
	return score;
}

SEC("socket")
int memory(struct packet *p)
{
	u64 value = p->kind + p->port + p->address + p->stamp;
	volatile u8 b = value;
	volatile u16 h = value;
	volatile u32 w = value;
	volatile u64 d = value;

	p->kind = 1;
	p->port = h;
	p->address = b;
	p->stamp = 0x123456789abcdefULL + d + w + ktime();
	return (signed char)p->kind + (short)p->port + (s32)p->address;
}

SEC("socket")
int order(struct packet *p)
{
	return __builtin_bswap16(p->port) + __builtin_bswap32(p->address) + __builtin_bswap64(p->stamp);
}

SEC("socket")
int functions(struct packet *p)
{
	return mix(p->stamp, p->address, p->port) + mix32(p->address, p->port, p->kind);
}

SEC("socket")
int add(struct packet *p)
{
	__sync_fetch_and_add(&counters[0], 1);
	__sync_fetch_and_add((u32 *)&counters[1], p->address);
	return 0;
}

#ifdef ATOMICS
SEC("socket")
int atomics(struct packet *p)
{
	u64 old = __sync_fetch_and_add(&counters[2], p->stamp);

	old += __sync_fetch_and_or(&counters[3], old);
	old += __sync_fetch_and_and(&counters[4], old);
	old += __sync_fetch_and_xor(&counters[5], old);
	old += __sync_lock_test_and_set(&counters[6], old);
	old += __sync_val_compare_and_swap(&counters[7], 1, old);
	old += __sync_fetch_and_xor((u32 *)&counters[5], (u32)old);
	old += __sync_val_compare_and_swap((u32 *)&counters[7], 1, (u32)old);
	return old;
}
#endif
