"""A worker process for the Python libraries. worker.rs describes the protocol.

Usage: python peer.py locket|filelock PATH
"""

import math
import random
import resource
import sys
import time

TIMEOUT = 60


def lock_of(module, path, timeout):
    if module == "locket":
        import locket

        return locket.lock_file(path, timeout=timeout)
    import filelock

    return filelock.FileLock(path, timeout=timeout)


def timeout_error(module):
    if module == "locket":
        import locket

        return locket.LockError
    import filelock

    return filelock.Timeout


def send(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def usage():
    return time.process_time_ns(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def unlock(lock):
    when = time.monotonic_ns()
    lock.release()
    return str(when)


def wait(lock):
    cpu, switches = usage()
    send("waiting")
    lock.acquire()
    when = time.monotonic_ns()
    cpu_after, switches_after = usage()
    lock.release()
    return f"{when} {cpu_after - cpu} {switches_after - switches}"


def expire(lock, error):
    cpu, switches = usage()
    send("waiting")
    start = time.monotonic_ns()
    try:
        lock.acquire()
    except error:
        took = time.monotonic_ns() - start
        cpu_after, switches_after = usage()
        return f"{took} {cpu_after - cpu} {switches_after - switches}"
    raise SystemExit("granted a lock that is held")


def run(lock, start, end, hold, think):
    cpu, turns, worst, waits = time.process_time_ns(), 0, 0, {}
    time.sleep(max(0, start - time.monotonic_ns()) / 1e9)
    while True:
        asked = time.monotonic_ns()
        lock.acquire()
        granted = time.monotonic_ns()
        turns += granted < end
        waited = granted - asked
        step = math.ceil(math.log2(max(waited, 1)) * 16)
        waits[step] = waits.get(step, 0) + 1
        worst = max(worst, waited)
        while time.monotonic_ns() < granted + hold:
            pass
        lock.release()
        if think:
            time.sleep(random.random() * 2 * think / 1e9)
        if time.monotonic_ns() >= end:
            break
    cpu = time.process_time_ns() - cpu
    counts = ",".join(f"{step}:{count}" for step, count in sorted(waits.items()))
    return f"cpu={cpu} worst={worst} turns={turns} waits={counts}"


def batch(lock, count):
    """Returns the nanoseconds of one acquire and release, on average over a batch."""
    start = time.monotonic_ns()
    for _ in range(count):
        lock.acquire()
        lock.release()
    return str((time.monotonic_ns() - start) // count)


def main(module, path):
    lock = lock_of(module, path, TIMEOUT)
    for line in iter(sys.stdin.readline, ""):
        command, *numbers = line.split()
        numbers = [int(number) for number in numbers]
        if command == "hold":
            lock.acquire()
            send("held")
        elif command == "unlock":
            send(unlock(lock))
        elif command == "wait":
            send(wait(lock))
        elif command == "expire":
            send(expire(lock_of(module, path, numbers[0] / 1e9), timeout_error(module)))
        elif command == "run":
            send(run(lock, *numbers[:4]))
        elif command == "batch":
            send(batch(lock, *numbers))
        else:
            raise SystemExit(f"no such command: {command}")


main(*sys.argv[1:])
