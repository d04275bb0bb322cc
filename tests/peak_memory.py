"""How a program that a test starts tells its peak of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

PEAK = """
def peak_kilobytes():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM:")).split()[1])
"""
"""Source of a function for such programs. ru_maxrss would not do: a process inherits that of the
one that started it, here pytest's own peak."""

told_by_the_system = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc"
)
