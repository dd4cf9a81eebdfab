"""Where the built pages are, and whether they are those of their sources.

Needs nothing but Python: whoever builds the wheel asks before anything else is installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).parent
BUILT = Path(".web", "build", "client")
SHIPPED = "front"  # the folder that a wheel has beside this file, with pages and configuration
STAMP = Path(".web", "engine-build")
# What the bundle is made from; the rest of the server may change without a new build.
_SOURCES = (
    "rxconfig.py",
    "bunfig.toml",
    ".npmrc",
    "constraints.txt",
    "assets",
    "reflex.lock",
    "engine_app/engine_app.py",
    "engine_app/components",
    "engine_app/forms",
    "engine_app/pages",
    "engine_app/states",
)


def is_shipped() -> bool:
    """Return whether the pages came with the wheel, built."""
    return (_HERE / SHIPPED).is_dir()


def project() -> Path:
    """Return the folder that is Reflex's project: that of the wheel, else the checkout."""
    return _HERE / SHIPPED if is_shipped() else _HERE.parent


def is_current(root: Path) -> bool:
    """Return whether the pages built in a checkout are those of its sources as they are now."""
    stamp = root / STAMP
    return (root / BUILT).is_dir() and stamp.is_file() and stamp.read_text() == version(root)


def version(root: Path) -> str:
    """Return a digest of everything in a checkout that the pages are made from."""
    digest = hashlib.sha256()
    for path in _sources(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for name in _SOURCES:
        path = root / name
        yield from sorted(_files(path)) if path.is_dir() else [path]


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        # Reflex links assets of its own into `external` while it builds
        if path.is_file() and not {"__pycache__", "external"} & set(path.parts):
            yield path
