/* Programs for the sockets of a map, and a flow dissector, to be attached by hand. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, int);
} socks SEC(".maps");

int messages;

SEC("sk_skb/stream_parser") int parser(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("sk_skb/stream_verdict") int verdict(struct __sk_buff *skb)
{
	return SK_PASS;
}

SEC("sk_msg") int msg(struct sk_msg_md *msg)
{
	__sync_fetch_and_add(&messages, 1);
	return SK_PASS;
}

SEC("flow_dissector") int dissector(struct __sk_buff *skb)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
