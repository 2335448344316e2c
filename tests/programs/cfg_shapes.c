/* Control flow of all shapes: loops, ladders, subprograms, a callback; source lines that need escaping in a graph. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int total;

static __attribute__((noinline)) int halve(int number)
{
	if (number & 1)
		number = bpf_get_prandom_u32(); /* "odd" | <even> {&amp;} \n */
	return number >> 1;
}

static __attribute__((noinline)) int shrink(int number)
{
	return number > 9 && number != 77 ? halve(number) : number + 1;
}

static long visit(int number, int *sum)
{
	*sum += number;
	return number == 3;
}

SEC("socket") int loop(struct __sk_buff *skb)
{
	int sum = 0;

	for (int i = 0; i < 1000; i++) {
		if (bpf_get_prandom_u32() == i)
			break;
		sum += i;
	}
	return sum;
}

SEC("socket") int ladder(struct __sk_buff *skb)
{
	if (skb->len < 10)
		total = 1;
	else if (skb->len == 20 || skb->protocol == 7)
		total = bpf_get_prandom_u32();
	else if (skb->mark & 8)
		total -= skb->len;
	return total;
}

SEC("socket") int calls(struct __sk_buff *skb)
{
	int sum = skb->len;
	int *place = &sum;

	bpf_loop(10, visit, place, 0);
	return halve(sum) + shrink(skb->mark);
}

char _license[] SEC("license") = "GPL";
