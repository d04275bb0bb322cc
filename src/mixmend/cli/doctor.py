"""``mixmend doctor``: whether this installation is in order, and what would make it better."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import typer

from mixmend.cli import show
from mixmend.cli.options import Json
from mixmend.cli.session import session

OK, HINT, BROKEN = "ok", "hint", "broken"
_SLOW_COMPILATION = 30.0
_LITTLE = 500_000_000


class Finding(NamedTuple):
    """One thing looked at: how it is, what was found, and what to do if it is not ok."""

    check: str
    status: str
    found: str
    cure: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(as_json: Json = False) -> None:
    """Check this installation: versions, threads, compilation, memory, disk, extras.

    Ends with exit code 1 if something is broken.
    """
    with session() as run:
        findings: list[Finding] = []
        for check in (
            _python,
            _requirements,
            _threads,
            _cache,
            _compilation,
            _linear_algebra,
            _memory,
            _disk,
            _extras,
        ):
            with run.stage(check.__name__.strip("_").replace("_", " ")):
                findings.extend(_examined(check))
        broken = [finding for finding in findings if finding.status == BROKEN]
        report = {"healthy": not broken, "findings": [f._asdict() for f in findings]}
        if as_json:
            show.as_json("doctor", report, run)
        else:
            show.table(
                [f._asdict() for f in findings if f.status != ""],
                [
                    show.Column("check", "check"),
                    show.Column("status", ""),
                    show.Column("found", "found"),
                ],
            )
            for finding in findings:
                if finding.cure:
                    print(f"{finding.status}: {finding.check}: {finding.cure}")
            print("Something is broken." if broken else "All that matters works.")
        if broken:
            raise typer.Exit(1)


def _examined(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Findings of a check; one that fails itself is a finding too."""
    try:
        return list(check())
    except Exception as error:  # whatever it is, the other checks still tell something
        name = check.__name__.strip("_").replace("_", " ")
        return [Finding(name, BROKEN, f"{type(error).__name__}: {error}", "see what was found")]


def _python() -> Iterator[Finding]:
    from mixmend._version import __version__

    here = Path(__file__).resolve().parents[1]
    yield Finding("mixmend", OK, f"{__version__} in {here}")
    yield Finding("python", OK, f"{sys.version.split()[0]}, {sys.executable}")


def _requirements() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires("mixmend") or []]
    except metadata.PackageNotFoundError:
        yield Finding(
            "packages", HINT, "mixmend runs from a folder that is not installed", "pip install ."
        )
        return
    bad: list[str] = []
    good: list[str] = []
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            bad.append(f"{requirement.name} is not installed")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            good.append(f"{requirement.name} {version}")
        else:
            bad.append(f"{requirement.name} {version}, {requirement.specifier} is needed")
    if good:
        yield Finding("packages", OK, ", ".join(good))
    if bad:
        cure = "pip install --upgrade --force-reinstall mixmend"
        yield Finding("packages", BROKEN, "; ".join(bad), cure)


def _threads() -> Iterator[Finding]:
    import numba

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    used = numba.get_num_threads()
    few = used < (usable or 1)
    cure = "unset NUMBA_NUM_THREADS to use them all" if few else ""
    yield Finding("threads", HINT if few else OK, f"{used} of {usable} processors", cure)


def _cache() -> Iterator[Finding]:
    """Compiled kernels are kept on disk; where that fails each process compiles anew."""
    import numba

    cure = "set NUMBA_CACHE_DIR to a folder that you may write to"
    try:
        place = Path(str(numba.njit(cache=True)(_probe).stats.cache_path))
    except RuntimeError as error:  # no place at all: the kernels cannot even be imported
        yield Finding("compiler cache", BROKEN, str(error), cure)
        return
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        yield Finding("compiler cache", HINT, f"{place}: {error.strerror}", cure)
        return
    yield Finding("compiler cache", OK, f"writable, in {place}")


def _probe(x: float) -> float:
    """Stand in for a kernel: it lies in this package, so its cache lies beside theirs."""
    return x + 1.0


def _compilation() -> Iterator[Finding]:
    """Fit a mixture whose result is known, which compiles all that a first fit compiles."""
    import numpy as np

    from mixmend import GaussianMixture

    X = np.array([[-1.0], [0.0], [4.0], [5.0], [6.0]])
    start = time.perf_counter()
    model = GaussianMixture(
        2, weights_init=[0.5, 0.5], means_init=[[6.0], [0.0]], tol=0.0, max_iter=100
    ).fit(X)
    seconds = time.perf_counter() - start
    if not np.allclose(np.sort(model.means_, axis=None), [-0.5, 5.0], atol=1e-6):
        means = ", ".join(f"{mean:.4g}" for mean in np.sort(model.means_, axis=None))
        cure = "the compiled code computes wrongly here: please report it"
        yield Finding("first fit", BROKEN, f"means {means}; -0.5, 5 are right", cure)
        return
    slow = seconds > _SLOW_COMPILATION
    cure = "see the compiler cache: it should make the next start quicker" if slow else ""
    yield Finding("first fit", HINT if slow else OK, show.duration(seconds), cure)


def _linear_algebra() -> Iterator[Finding]:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    libraries = [
        f"{entry['internal_api']} {entry.get('version') or ''} ({entry['num_threads']} threads)"
        for entry in threadpool_info()
        if entry["user_api"] == "blas"
    ]
    yield Finding("linear algebra", OK, ", ".join(dict.fromkeys(libraries)) or "none reported")


def _memory() -> Iterator[Finding]:
    free = _free_memory()
    if free is None:
        yield Finding("memory", OK, "unknown on this system")
        return
    cure = "close other programs; small matrices still fit" if free < _LITTLE else ""
    yield Finding("memory", HINT if cure else OK, f"{show.size(free)} free", cure)


def _free_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _disk() -> Iterator[Finding]:
    for name, place in (("disk here", Path.cwd()), ("temporary disk", tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        cure = "free some space: a completed matrix can be large" if free < _LITTLE else ""
        yield Finding(name, HINT if cure else OK, f"{show.size(free)} free in {place}", cure)


def _extras() -> Iterator[Finding]:
    """Extras are optional: their absence is no fault, only said."""
    extras: dict[str, tuple[str, ...]] = {
        "neural": ("torch",),
        "distributed": ("dask", "distributed"),
        "vlbi": ("astropy", "finufft"),
        "web": ("fastapi", "uvicorn"),
    }
    for extra, packages in extras.items():
        versions: list[Any] = [_version_of(package) for package in packages]
        if all(versions):
            found = ", ".join(f"{p} {v}" for p, v in zip(packages, versions, strict=True))
        else:
            found = f"not installed (optional; pip install 'mixmend[{extra}]')"
        yield Finding(f"extra {extra}", OK, found)


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
