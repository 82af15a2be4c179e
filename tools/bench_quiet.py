# SPDX-License-Identifier: Apache-2.0
"""Waits for a quiet machine: what earlier measurements have left to the kernel, such as a
thousand network namespaces to take down, would be measured with what comes next."""

import time

IDLE = 0.9  # of all processors' time
LIMIT = 60  # seconds


def processor_times():
    """Ticks since the boot: (idle, all)."""
    with open("/proc/stat") as f:
        ticks = [int(word) for word in f.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def idle_share(seconds):
    before = processor_times()
    time.sleep(seconds)
    after = processor_times()
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def wait_until_quiet():
    """For a second in which little happens. Says so if there is none."""
    end = time.monotonic() + LIMIT
    while (share := idle_share(1)) < IDLE:
        if time.monotonic() > end:
            print(f"  (others take {1 - share:.0%} of the processors)")
            return
