/* A program of the machine's own that calls getpgid() deep down, says so, and waits for the end of its input. */
#include <stdio.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, used))

static int sum;

/* The innermost is lost where the C library keeps no frames. What follows a call keeps it from being a jump. */
NOINLINE void innermost(void) { sum += getpgid(0); }
NOINLINE void inner(void) { innermost(); sum++; }
NOINLINE void middle(int times) { while (times--) inner(); sum++; }
NOINLINE void left(void) { middle(3); sum++; }
NOINLINE void right(void) { middle(4); sum++; }

int main(void)
{
	left();
	right();
	puts("done");
	fflush(stdout);
	getchar();
	return sum < 0;
}
