# SPDX-License-Identifier: Apache-2.0
"""Stops one thread as a debugger does: seize.py TID. Says "seized", or why it may not, and lets go
when standard input ends."""
import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_ALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, tid):
    if libc.ptrace(request, tid, None, None) < 0:
        print(os.strerror(ctypes.get_errno()), flush=True)
        sys.exit(0)


tid = int(sys.argv[1])
ptrace(PTRACE_SEIZE, tid)
ptrace(PTRACE_INTERRUPT, tid)
os.waitpid(tid, WAIT_ALL)
print("seized", flush=True)
sys.stdin.read()
ptrace(PTRACE_DETACH, tid)
