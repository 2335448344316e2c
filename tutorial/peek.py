import sys

from bcctool import table

counts = table(int(sys.argv[1]))
for name, count in sorted(counts.items_lookup_batch(), key=lambda entry: -entry[1].value):
    print(name.comm.decode(), count.value)
