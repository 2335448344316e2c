"""BTF, the type format of BPF: reading, checking, printing. No system calls into bpf(2)."""
