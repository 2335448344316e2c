/* A program of each type that loads without a target, the sections as libbpf names them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("socket") int p_socket_filter(void *ctx) { return 0; }
SEC("tc") int p_classifier(void *ctx) { return 0; }
SEC("action") int p_action(void *ctx) { return 0; }
SEC("tracepoint") int p_tracepoint(void *ctx) { return 0; }
SEC("raw_tp") int p_raw_tracepoint(void *ctx) { return 0; }
SEC("xdp") int p_xdp(void *ctx) { return 1; }
SEC("perf_event") int p_perf_event(void *ctx) { return 0; }
SEC("cgroup_skb/egress") int p_cgroup_skb(void *ctx) { return 1; }
SEC("cgroup/sock_create") int p_cgroup_sock(void *ctx) { return 1; }
SEC("cgroup/connect4") int p_cgroup_sock_addr(void *ctx) { return 1; }
SEC("cgroup/sysctl") int p_cgroup_sysctl(void *ctx) { return 1; }
SEC("cgroup/dev") int p_cgroup_device(void *ctx) { return 1; }
SEC("sockops") int p_sock_ops(void *ctx) { return 0; }
SEC("sk_skb") int p_sk_skb(void *ctx) { return 1; }
SEC("sk_msg") int p_sk_msg(void *ctx) { return 1; }
SEC("lwt_in") int p_lwt_in(void *ctx) { return 0; }
SEC("flow_dissector") int p_flow_dissector(void *ctx) { return 0; }
SEC("sk_lookup") int p_sk_lookup(void *ctx) { return 1; }
SEC("syscall") int p_syscall(void *ctx) { return 0; }

char _license[] SEC("license") = "Dual BSD/GPL";
