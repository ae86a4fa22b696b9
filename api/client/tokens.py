"""The file in which a person's tokens stay between two commands: one pair a server, readable by its owner alone."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from api.routes.auth import TokensOut


class KeptTokens(BaseModel):
    """What is kept of a sign-in."""

    model_config = ConfigDict(frozen=True)

    access_token: str
    refresh_token: str


_FILE = TypeAdapter(dict[str, KeptTokens])


class TokenFile:
    """Tokens by address of the server. Processes that change it take turns, by a lock on a file beside it: a process
    that dies gives the lock back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._has_turn = False

    def tokens(self, url: str) -> KeptTokens | None:
        """Those of a server; None where nobody has signed in there. Raises ValueError where the file is broken."""
        return self._read().get(url)

    @contextmanager
    def renewing(self, url: str) -> Iterator[KeptTokens | None]:
        """No other process renews or keeps tokens meanwhile; those of a server as they are now."""
        with self._turn():
            yield self.tokens(url)

    def keep(self, url: str, tokens: TokensOut | None) -> None:
        """Keep the newest tokens of a server, or none any more. Another file takes the place of the old one whole."""
        with self._turn():
            known = self._read()
            if tokens is None:
                known.pop(url, None)
            else:
                known[url] = KeptTokens(access_token=tokens.access_token, refresh_token=tokens.refresh_token)
            new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            with suppress(FileNotFoundError):
                new.unlink()
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump({name: one.model_dump() for name, one in known.items()}, file, indent=2)
            new.replace(self.path)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._has_turn:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_name(f"{self.path.name}.lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._has_turn = True
            try:
                yield
            finally:
                self._has_turn = False

    def _read(self) -> dict[str, KeptTokens]:
        try:
            return _FILE.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise ValueError(
                f"{self.path}: {error.error_count()} value(s) are not as `swap login` writes them"
            ) from error
