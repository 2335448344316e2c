/* Variables in the data sections, a function, and with CORE a relocation that no kernel can resolve. */
#define SEC(name) __attribute__((section(name), used))

#ifdef CORE
struct context {
	int unused;
	int wanted;
} __attribute__((preserve_access_index));
#define STEP(ctx) ((ctx)->wanted)
#else
struct context;
#define STEP(ctx) 1
#endif

enum state { IDLE, BUSY = 2 };

int counter = 7;
enum state state = BUSY;
char label[8] = "ready";
const volatile unsigned int limit = 10;
static unsigned long long total;

SEC("xdp")
int count(struct context *ctx)
{
	if (counter > limit)
		total += STEP(ctx);
	return total + state + label[0];
}

char _license[] SEC("license") = "GPL";
