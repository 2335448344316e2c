import os

from calls import Calls

app = Calls()
app.rodata.wanted = os.getpid()
with app.load():
    app.attach()
    for _ in range(1000):
        os.getppid()
    call = max(app.maps.calls.values(), key=lambda call: call["count"])
    print(call["count"], "of one kind,", call["pace"])
    print(app.bss.total - 1000, "others")
