"""C out of object files: the headers with which a program of C opens, loads and attaches what clang has compiled."""
