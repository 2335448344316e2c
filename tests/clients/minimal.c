/* Loads and attaches minimal.bpf.c, changes its own name three times, and prints what was counted. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "minimal.skel.h"

int main(void)
{
	struct minimal_bpf *skel = minimal_bpf__open();
	int failed = 1;

	if (!skel)
		return 1;
	snprintf((char *)skel->rodata->wanted, sizeof(skel->rodata->wanted), "minimal-%d", getpid());
	if (!minimal_bpf__load(skel) && !minimal_bpf__attach(skel)) {
		for (int i = 0; i < 3; i++)
			prctl(PR_SET_NAME, skel->rodata->wanted);
		printf("%d renames\n", skel->bss->renames);
		failed = 0;
	}
	minimal_bpf__destroy(skel);
	return failed;
}
