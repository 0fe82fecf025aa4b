"""How the machine feels: processors, memory, disk, network, load, and GPUs where NVIDIA's library finds them."""

import importlib
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from schemas.worker import Capacity, Gpu, MachineStats, Platform


class Sampler:
    """Takes samples; rates and percents are since the sample before. Call it from one thread at a time."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._gpus = gpu_reader()
        self._network: tuple[float, int, int] | None = None
        psutil.cpu_percent(percpu=True)

    def sample(self) -> MachineStats:
        """One sample; what the machine does not tell is left at nought."""
        cores = [round(percent, 1) for percent in psutil.cpu_percent(percpu=True)]
        memory = psutil.virtual_memory()
        used, total = self._disk_usage()
        received, sent = self._rates()
        return MachineStats(
            cpu_percent=round(sum(cores) / len(cores), 1) if cores else 0.0,
            cores_percent=cores[:1024],
            load=[round(value, 2) for value in _load()],
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=used,
            disk_total=total,
            network_received_rate=received,
            network_sent_rate=sent,
            gpus=self._gpus(),
        )

    def _disk_usage(self) -> tuple[int, int]:
        try:
            usage = psutil.disk_usage(str(self._disk))
        except OSError:
            return 0, 0
        return usage.used, usage.total

    def _rates(self) -> tuple[float, float]:
        counters = psutil.net_io_counters()
        if counters is None:
            return 0.0, 0.0
        now_s = time.monotonic()
        before, self._network = self._network, (now_s, counters.bytes_recv, counters.bytes_sent)
        if before is None or now_s <= before[0]:
            return 0.0, 0.0
        seconds = now_s - before[0]
        return (
            round(max(0, counters.bytes_recv - before[1]) / seconds, 1),
            round(max(0, counters.bytes_sent - before[2]) / seconds, 1),
        )


def _load() -> tuple[float, ...]:
    try:
        return os.getloadavg()
    except (AttributeError, OSError):
        return ()


def gpu_reader() -> Callable[[], list[Gpu]]:
    """A function that reads all GPUs; one that finds none where the library or the driver is missing."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - no library, no driver, no GPU: all the same
        return list

    def read() -> list[Gpu]:
        return [_gpu(nvml, handle) for handle in handles[:64]]

    return read


def _gpu(nvml: Any, handle: Any) -> Gpu:
    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except nvml.NVMLError:
            return None

    name = ask(lambda: nvml.nvmlDeviceGetName(handle))
    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    rates = ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    return Gpu(
        name=(name.decode() if isinstance(name, bytes) else str(name or "GPU"))[:200],
        percent=float(rates.gpu) if rates else None,
        memory_used=memory.used if memory else None,
        memory_total=memory.total if memory else None,
        temperature=ask(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
    )


def measure_capacity(slots: int, cpus: float | None, memory_mb: int | None, gpus: int | None) -> Capacity:
    """What the machine has, where the operator has not said what to offer."""
    return Capacity(
        slots=slots,
        cpus=usable_cpus() if cpus is None else cpus,
        memory_mb=psutil.virtual_memory().total // 2**20 if memory_mb is None else memory_mb,
        gpus=len(gpu_reader()()) if gpus is None else gpus,
    )


def usable_cpus() -> float:
    """Cores that this process may use: the affinity mask, and a container's quota."""
    try:
        cores = float(len(os.sched_getaffinity(0)))
    except AttributeError:
        cores = float(psutil.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1.0, math.floor(int(quota) / int(period) * 10) / 10))
    except (OSError, ValueError):
        pass
    return cores


def describe_platform() -> Platform:
    """The machine in words."""
    return Platform(
        os=f"{platform.system()} {platform.release()}"[:200],
        arch=platform.machine()[:200],
        hostname=platform.node()[:200],
        python=platform.python_version(),
    )
