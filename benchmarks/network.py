"""Hosts made of network namespaces on one machine, joined by a bridge in a namespace of its own.

Nothing appears in the machine's own network: every link lives between two namespaces, and is gone
with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.servers import Lacking

NETWORK = "198.18.0.0/24"  # for measurements of networks, never routed. Source: RFC 2544
_CLONE_NEWNET = 0x40000000  # Source: linux/sched.h
_MARK = "engine-bench"
_SWITCH = "switch"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    """A network namespace with one address."""

    name: str
    namespace: str
    address: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and what it starts, on the host until the block ends.

        Raises:
            Lacking: the kernel does not let us.
        """
        with open("/proc/thread-self/ns/net", "rb") as home:
            with open(f"/run/netns/{self.namespace}", "rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Yield hosts that reach each other, and remove them at the end.

    Raises:
        Lacking: we are not root, or there is no `ip`, or the kernel has no namespaces or bridges.
    """
    _refuse()
    _remove_leftovers()
    mark = f"{_MARK}-{os.getpid()}"
    made = [
        Host(name, f"{mark}-{name}", f"{NETWORK.rpartition('.')[0]}.{number}")
        for number, name in enumerate(names, 1)
    ]
    switch = f"{mark}-{_SWITCH}"
    with contextlib.ExitStack() as stack:
        for namespace in (switch, *(host.namespace for host in made)):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "del", namespace)
        _ip("-n", switch, "link", "add", "bridge", "up", "type", "bridge")
        for host in made:
            _plug(host, switch)
        yield made


def _plug(host: Host, switch: str) -> None:
    """Lay a cable between a host and the switch."""
    port = f"to-{host.name}"
    _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", host.namespace)
    _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
    length = NETWORK.rpartition("/")[2]
    _ip("-n", host.namespace, "address", "add", f"{host.address}/{length}", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip("-n", host.namespace, "link", "set", device, "up")


def _refuse() -> None:
    if os.geteuid() != 0:
        raise Lacking("hosts are network namespaces here, which root alone can make: run as root")
    if shutil.which("ip") is None:
        raise Lacking("there is no `ip`: install iproute2")


def _remove_leftovers() -> None:
    """Remove the namespaces of a measurement that was killed before it could."""
    folder = Path("/run/netns")
    for path in sorted(folder.glob(f"{_MARK}-*")) if folder.exists() else ():
        found = re.fullmatch(rf"{_MARK}-(\d+)-\w+", path.name)
        if found and not psutil.pid_exists(int(found[1])):
            _ip("netns", "del", path.name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Lacking(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise Lacking(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
