"""A PostgreSQL server of the tests' own, from the system's binaries.

It lives in a temporary folder, listens on a free loopback port only, keeps nothing, and stops with the tests.
initdb refuses to run as root, so under root it all runs as the user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from tests.support.ports import own_ports

START_LIMIT_S = 30.0
START_TRIES = 3

# Durability is worth nothing here. The time zone is not UTC, so that code which relies on it is found out.
SERVER_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "timezone": "Asia/Shanghai",
    "max_connections": "100",
}


class PostgresMissingError(Exception):
    """There is no PostgreSQL server on this machine, or no user it may run as."""


class PostgresStartError(Exception):
    """The server is there but did not start; the message carries its log."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `database()` gives a database, empty or a copy of another."""

    port: int
    password: str

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self.password,
            dbname="postgres",
            autocommit=True,
        )

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Create a database, yield its SQLAlchemy URL, drop it even when connections are left open.

        Args:
            template: name of the database it is a copy of; nobody may be connected to that one.
        """
        name = f"test_{secrets.token_hex(6)}"
        # Copied as files: an entry in the log for each page would cost more than the copy.
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        try:
            yield self.url(name)
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _run(self, statement: LiteralString, *names: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def find_binaries() -> Path:
    """Return the folder with `initdb` and `postgres`: the newest of Debian's, or the one on the PATH."""
    folders = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb") if p.parent.parent.name.isdigit()]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name))
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise PostgresMissingError("no PostgreSQL server is installed (Debian: apt-get install postgresql)")


def server_user() -> pwd.struct_passwd | None:
    """Return the user to run as when we are root, else None: as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresMissingError("as root, PostgreSQL needs a user named postgres to run as") from None


def as_user(user: pwd.struct_passwd | None) -> list[str]:
    """Return the prefix that runs a command as that user and ends it when the tests are killed."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if user is None:
            return []
        raise PostgresMissingError("as root, the program setpriv (util-linux) is needed to start PostgreSQL")
    prefix = [setpriv, "--pdeathsig", "INT"]
    if user is not None:
        prefix += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--init-groups"]
    return [*prefix, "--"]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Make a cluster, start it, yield it, stop it and remove it.

    Raises:
        PostgresMissingError: nothing to start on this machine.
        PostgresStartError: it was tried and failed.
    """
    binaries = find_binaries()
    user = server_user()
    prefix = as_user(user)
    home = Path(tempfile.mkdtemp(prefix="swap-postgres-"))
    try:
        password = secrets.token_hex(16)
        password_file = home / "password"
        password_file.write_text(password)
        if user is not None:
            for path in (home, password_file):
                os.chown(path, user.pw_uid, user.pw_gid)
        _make_cluster(binaries, prefix, home, password_file)
        process, server = _start(binaries, prefix, home, password)
        try:
            yield server
        finally:
            _stop(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _make_cluster(binaries: Path, prefix: list[str], home: Path, password_file: Path) -> None:
    command = [str(binaries / "initdb"), "--pgdata", str(home / "data"), "--username", "postgres"]
    command += ["--pwfile", str(password_file), "--auth", "scram-sha-256"]
    command += ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
    result = subprocess.run([*prefix, *command], cwd=home, capture_output=True, text=True, check=False)
    if result.returncode:
        raise PostgresStartError(f"initdb failed:\n{result.stdout}\n{result.stderr}")


def _start(
    binaries: Path, prefix: list[str], home: Path, password: str
) -> tuple[subprocess.Popen[bytes], PostgresServer]:
    options = [word for name, value in SERVER_OPTIONS.items() for word in ("-c", f"{name}={value}")]
    log = home / "log"
    for _ in range(START_TRIES):  # between choosing a port and using it, another program may take it
        (port,) = own_ports(1)
        command = [str(binaries / "postgres"), "-D", str(home / "data"), "-k", str(home)]
        command += ["-h", "127.0.0.1", "-p", str(port), *options]
        with log.open("wb") as output:
            process = subprocess.Popen([*prefix, *command], cwd=home, stdout=output, stderr=output)
        server = PostgresServer(port, password)
        if _answers(process, server):
            return process, server
        _stop(process)
    raise PostgresStartError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _answers(process: subprocess.Popen[bytes], server: PostgresServer) -> bool:
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            server.connect().close()
            return True
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, by force
        if process.poll() is not None:
            return
        process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
