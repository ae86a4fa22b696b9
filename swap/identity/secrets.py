"""Passwords, PINs, TOTP codes and tokens, by maintained libraries: what is stored is a hash, or worth nothing alone.

Passwords and PINs: Argon2id with the parameters of RFC 9106's second recommendation, which argon2-cffi takes by
itself. TOTP: RFC 6238, 30 s, 6 digits, one step of clock difference either way; its secret is HMAC-SHA-256 of a stored
salt under the secret of the server. Tokens: 256 bits of the system's randomness, stored as their SHA-256.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets
import unicodedata
from datetime import datetime

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from swap.errors import InvalidInput
from swap.messages.values import unfit_character
from swap.words import N_

HASHER = PasswordHasher()
DEMO_HASHER = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
"""For accounts of which the password is printed anyway."""
PASSWORD_LEAST, PASSWORD_MOST = 10, 128
PIN_LEAST, PIN_MOST = 4, 12
TOTP_STEP_S = 30
TOTP_STEPS_OFF = 1
"""Steps that the clocks of server and device may differ."""
ACCESS, REFRESH, SESSION, KEY = "swa_", "swr_", "sws_", "swk_"
"""How a token begins tells what it is, also to whoever finds one where it should not be."""
TOKEN_MOST = 128
"""Characters beyond which nothing is looked up."""


def password_text(password: str) -> str:
    """A password as it is hashed. Raises InvalidInput, which never tells what was given."""
    text = unicodedata.normalize("NFC", password)
    if not PASSWORD_LEAST <= len(text) <= PASSWORD_MOST or unfit_character(text) is not None:
        allowed = N_("{least}…{most} characters, none of them a control character")
        raise InvalidInput("password", "…", allowed, least=PASSWORD_LEAST, most=PASSWORD_MOST)
    return text


def pin_text(pin: str) -> str:
    """A PIN as it is hashed. Raises InvalidInput, which never tells what was given."""
    if not (PIN_LEAST <= len(pin) <= PIN_MOST and pin.isascii() and pin.isdigit()) or len(set(pin)) == 1:
        raise InvalidInput("pin", "…", N_("{least}…{most} digits, not all the same"), least=PIN_LEAST, most=PIN_MOST)
    return pin


def hashed(text: str, *, demo: bool = False) -> str:
    """The hash of a password or PIN."""
    return (DEMO_HASHER if demo else HASHER).hash(text)


@functools.cache
def _nobody(hasher: PasswordHasher) -> str:
    return hasher.hash(secrets.token_urlsafe())


def is_it(stored: str | None, text: str) -> bool:
    """Whether a text is what was hashed. Without a hash one is worked out all the same: time tells nothing."""
    try:
        HASHER.verify(stored or _nobody(HASHER), unicodedata.normalize("NFC", text))
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
    return bool(stored)


def new_token(kind: str) -> str:
    """A new token or key."""
    return kind + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is stored of a token. It has 256 bits of chance, so a fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_id(prefix: str) -> str:
    """A new id."""
    return f"{prefix}-{secrets.token_hex(8)}"


def derived(secret: str, purpose: str, key: str) -> bytes:
    """What the secret of the server makes of a key for a purpose."""
    return hmac.digest(secret.encode(), f"{purpose}:{key}".encode(), "sha256")


def totp(secret: str, salt: str) -> pyotp.TOTP:
    """The TOTP of an account."""
    return pyotp.TOTP(base64.b32encode(derived(secret, "totp", salt)[:20]).decode(), interval=TOTP_STEP_S)


def totp_step(device: pyotp.TOTP, code: str, at: datetime, last_step: int | None) -> int | None:
    """The number of the step that a code is of, in a window around an instant; None for a wrong or used code."""
    now = int(at.timestamp()) // TOTP_STEP_S
    found = None
    for step in range(now - TOTP_STEPS_OFF, now + TOTP_STEPS_OFF + 1):
        right = hmac.compare_digest(device.generate_otp(step).encode(), code.encode("utf-8", "replace"))
        if right and (last_step is None or step > last_step):
            found = step
    return found
