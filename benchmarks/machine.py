"""Says what machine and which versions the figures come from: figures without them mean nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def describe() -> dict[str, str]:
    """What was measured on, and when."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{cpu_model()}, {cores()} cores",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load at start": ", ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name for itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")


def heading(about: dict[str, str], facts: dict[str, dict[str, str]]) -> str:
    """All of it for a reader, with a warning where the libraries stand on different libzmqs."""
    lines = [f"{key:<16} {value}" for key, value in about.items()]
    for name, fact in facts.items():
        lines.append(f"{name:<16} {fact['version']:<8} on libzmq {fact['libzmq']}")
    if len({fact["libzmq"] for fact in facts.values()}) > 1:
        lines.append("Not the same libzmq everywhere (pyzmq's wheels bundle their own), so a")
        lines.append("ratio between libraries also holds what those libzmqs differ in.")
    return "\n".join(lines)
