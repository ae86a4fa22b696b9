"""A PostgreSQL server that a drill stops and starts again on the same port and data."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.support.ports import own_ports
from tests.support.postgres import as_user, find_binaries, server_user

START_LIMIT_S = 30.0


class Server:
    """One cluster; `url` is that of its database."""

    def __init__(self, home: Path, prefix: list[str], password: str) -> None:
        self._home = home
        self._prefix = prefix
        self._password = password
        (self._port,) = own_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://postgres:{password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [str(find_binaries() / "postgres"), "-D", str(self._home / "data"), "-k", str(self._home)]
        command += ["-h", "127.0.0.1", "-p", str(self._port)]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen([*self._prefix, *command], cwd=self._home, stdout=log, stderr=log)
        until_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until_s:
            with suppress(psycopg.OperationalError):
                self._connect().close()
                return
            time.sleep(0.02)
        raise AssertionError((self._home / "log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """Fast shutdown, as a service manager does it: every connection is ended."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_LIMIT_S)

    def terminate_connections(self) -> int:
        """End the connections of everybody else; how many there were."""
        with self._connect() as connection:
            found = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchone()
        assert found is not None
        return int(found[0])

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self._port,
            user="postgres",
            password=self._password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=2,
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """A started server; it is durable, as a real one is. Raises PostgresMissingError."""
    user = server_user()
    prefix = as_user(user)
    home = Path(tempfile.mkdtemp(prefix="swap-drill-"))
    try:
        password, file = secrets.token_hex(16), home / "password"
        file.write_text(password)
        if user is not None:
            for path in (home, file):
                shutil.chown(path, user.pw_uid, user.pw_gid)
        command = [str(find_binaries() / "initdb"), "--pgdata", str(home / "data"), "--username", "postgres"]
        command += ["--pwfile", str(file), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run([*prefix, *command], cwd=home, capture_output=True, check=True)
        server = Server(home, prefix, password)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.TimeoutExpired):
                server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
