#!/usr/bin/python3
import sys

from bcc import BPF

TEXT = """
struct name { char comm[16]; };
struct event { u32 pid; char comm[16]; };
BPF_HASH(counts, struct name, u64);
BPF_PERF_OUTPUT(events);

TRACEPOINT_PROBE(sched, sched_process_exec)
{
    struct name name = {};
    struct event event = {.pid = bpf_get_current_pid_tgid() >> 32};

    bpf_get_current_comm(&name.comm, sizeof(name.comm));
    bpf_get_current_comm(&event.comm, sizeof(event.comm));
    counts.increment(name);
    events.perf_submit(args, &event, sizeof(event));
    return 0;
}
"""
b = BPF(text=TEXT)
events = b["events"]


def show(cpu, data, size):
    event = events.event(data)
    print(event.pid, event.comm.decode())


events.open_perf_buffer(show)
print("PID COMMAND", flush=True)
try:
    while True:
        b.perf_buffer_poll()
        sys.stdout.flush()
except KeyboardInterrupt:
    pass
