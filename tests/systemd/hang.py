"""Stops threads of a process, and only those: it looks as if they hung."""

import ctypes
import os
import pathlib
import sys

# See <https://man7.org/linux/man-pages/man2/ptrace.2.html>.
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
WALL = 0x40000000


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) == -1:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")


process, name = sys.argv[1:]
threads = [
    int(task.name)
    for task in pathlib.Path(f"/proc/{process}/task").iterdir()
    if (task / "comm").read_text().strip() == name
]
for thread in threads:
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
print(len(threads), flush=True)
# Until somebody kills them: then they are gone only when this has seen it.
try:
    while True:
        os.waitpid(-1, WALL)
except ChildProcessError:
    pass
