/* A program of the machine's own with functions and USDT probes that calls them as often as it is told. */
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline, noclone, used))

/* What sys/sdt.h does, with the operands written out. */
#define PROBE(name, semaphore, text, ...) \
	__asm__ volatile( \
		"990: nop\n" \
		".pushsection .note.stapsdt,\"\",\"note\"\n" \
		".balign 4\n" \
		".4byte 992f-991f, 994f-993f, 3\n" \
		"991: .asciz \"stapsdt\"\n" \
		"992: .balign 4\n" \
		"993: .8byte 990b\n" \
		".8byte _.stapsdt.base\n" \
		".8byte " semaphore "\n" \
		".asciz \"ours\"\n" \
		".asciz \"" name "\"\n" \
		".asciz \"" text "\"\n" \
		"994: .balign 4\n" \
		".popsection\n" \
		".ifndef _.stapsdt.base\n" \
		".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
		".weak _.stapsdt.base\n.hidden _.stapsdt.base\n" \
		"_.stapsdt.base: .space 1\n" \
		".popsection\n" \
		".endif\n" :: __VA_ARGS__)

unsigned short watched __attribute__((section(".probes"), used));

NOINLINE int called(int number) { __asm__ volatile(""); return number + 1; }
NOINLINE int many_1(int number) { __asm__ volatile(""); return number + 2; }
NOINLINE int many_2(int number) { __asm__ volatile(""); return number + 3; }

NOINLINE void places(int number)
{
	long wide = 0x123456789abcdef0;
	short table[4] = {11, 22, -33, 44};

	PROBE("arguments", "0", "-4@%[low] 4@%[low] 8@%[wide] 8@(%[pointer]) -4@$-5 2@2(%[table],%[index],2) -2@(%[table],%[index],2)",
	      [low] "r"(-number), [wide] "m"(wide), [pointer] "r"(&wide), [table] "r"(table), [index] "r"(1L), "m"(table));
}

NOINLINE void twice(int number)
{
	PROBE("twice", "0", "4@%[number]", [number] "r"(number));
	PROBE("twice", "0", "4@$1000", [number] "r"(number));
	PROBE("silent", "0", "", [number] "r"(number));
	if (watched)
		PROBE("watched", "watched", "4@%[number]", [number] "r"(number));
	PROBE("unreadable", "0", "8@watched(%%rip)", [number] "r"(number));
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1, sum = 0;

	for (int i = 1; i <= count; i++) {
		sum += called(i) + many_1(i) + many_2(i);
		places(i);
		twice(i);
	}
	return sum < 0;
}
