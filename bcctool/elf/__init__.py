"""Prebuilt BPF object files: sections, symbols, maps, programs. No system calls into bpf(2)."""
