"""A disk that forgets what was not synced: each file of a database as its last sync left it.

SQLite's own VFS is wrapped: after a sync of a file its content is copied; rollback journals are left out, since the
database is in WAL mode. What a power cut leaves at the worst is
the copies; a process that is only killed leaves what the system's cache still writes.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

SQLITE_OK = 0
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs` up to the functions that are wrapped; the rest is copied as it stands."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("rest", ctypes.c_void_p * 15),
    )


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("close", ctypes.c_void_p),
        ("read", ctypes.c_void_p),
        ("write", ctypes.c_void_p),
        ("truncate", ctypes.c_void_p),
        ("sync", ctypes.c_void_p),
        ("rest", ctypes.c_void_p * 14),
    )


class _File(ctypes.Structure):
    """`sqlite3_file`."""

    _fields_ = (("methods", ctypes.c_void_p),)


_kept: list[Any] = []
"""What SQLite points at must not be collected."""


def shadow_disk(folder: Path) -> None:
    """From now on, in this process, keep every file that SQLite syncs in `folder` as it was synced last."""
    folder.mkdir(parents=True, exist_ok=True)
    library = ctypes.CDLL("libsqlite3.so.0")
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.c_void_p, ctypes.c_int]
    ours = library.sqlite3_vfs_find(None).contents
    real_open = _OPEN(ours.open)
    paths: dict[int, Path] = {}
    wrapped: dict[int, _Methods] = {}

    def synced(path: Path) -> None:
        part = folder / f"{path.name}.part"
        shutil.copyfile(path, part)
        part.replace(folder / path.name)

    def opened(vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        result = int(real_open(vfs, name, file, flags, out_flags))
        methods = _File.from_address(file).methods
        if result == SQLITE_OK and name and methods:
            paths[file] = Path(ctypes.string_at(name).decode())
            if methods not in wrapped:
                wrapped[methods] = _wrap(methods, paths, synced)
            _File.from_address(file).methods = ctypes.addressof(wrapped[methods])
        return result

    new_open = _OPEN(opened)
    _kept.extend((new_open, real_open, wrapped))
    ours.open = ctypes.cast(new_open, ctypes.c_void_p).value
    assert library.sqlite3_vfs_register(ctypes.addressof(ours), 1) == SQLITE_OK


def _wrap(methods: int, paths: dict[int, Path], synced: Callable[[Path], None]) -> _Methods:
    real = _Methods.from_address(methods)
    changed = _Methods.from_buffer_copy(real)
    real_sync = _SYNC(real.sync)

    def sync(file: int, flags: int) -> int:
        result = int(real_sync(file, flags))
        if result == SQLITE_OK and file in paths and not paths[file].name.endswith("-journal"):
            synced(paths[file])
        return result

    new_sync = _SYNC(sync)
    _kept.extend((new_sync, real_sync, changed))
    changed.sync = ctypes.cast(new_sync, ctypes.c_void_p).value
    return changed
