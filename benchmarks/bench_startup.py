"""What a user waits for: import, --help, and the first fit with nothing compiled yet.

python benchmarks/bench_startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

FIRST_FIT = """
import numpy as np, mixmend as mm
X = np.random.default_rng(0).normal(size=(500, 30))
X[X > 1] = np.nan
mm.GaussianMixture(4, random_state=0).fit(X).complete(X)
"""
FIRST_PRIOR_FIT = FIRST_FIT.replace(
    "random_state=0", "random_state=0, prior='default', center='biases'"
)


def seconds(command: list[str], cache: str | None = None) -> float:
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def median(command: list[str], runs: int = 5) -> float:
    seconds(command)  # the first reads the files from disk
    return statistics.median(seconds(command) for _ in range(runs))


def main() -> None:
    python = sys.executable
    empty = median([python, "-c", "pass"])
    print("| what | seconds |")
    print("| --- | --- |")
    print(f"| python itself | {empty:.2f} |")
    print(f"| import mixmend | {median([python, '-c', 'import mixmend']):.2f} |")
    print(f"| mixmend --help | {median([python, '-m', 'mixmend', '--help']):.2f} |")
    for name, code in (("plain", FIRST_FIT), ("with prior and row offsets", FIRST_PRIOR_FIT)):
        with tempfile.TemporaryDirectory() as cache:
            first = seconds([python, "-c", code], cache)
            again = seconds([python, "-c", code], cache)
        print(f"| first fit ever, {name}: compilation, imports and all | {first:.1f} |")
        print(f"| the same in a new process | {again:.1f} |")


if __name__ == "__main__":
    main()
