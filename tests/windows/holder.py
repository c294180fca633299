"""Takes the lock of a path with the reference, holds it for a line of input, and releases it."""

import sys

import locket

path, timeout = sys.argv[1:]
lock = locket.lock_file(path, timeout=float(timeout))
try:
    lock.acquire()
except locket.LockError:
    print("timed out", flush=True)
else:
    print("held", flush=True)
    if sys.stdin.readline():
        lock.release()
        print("released", flush=True)
        sys.stdin.readline()
