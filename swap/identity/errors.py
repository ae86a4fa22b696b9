"""Errors of signing in and of rights.

SwapError
└── AccessError
    ├── NotSignedIn           the request names nobody
    ├── TokenNotValid         unknown, expired or revoked; which of them is not told
    ├── TokenReused           a refresh token came a second time: every token of that sign-in is revoked
    ├── SignInFailed          login or password is wrong, or the account is not to be used; which is not told
    ├── TooManyAttempts       nothing is tried before `retry_after_s`
    ├── TooManyRequests       the caller sends more than he may; again after `retry_after_s`
    ├── NotAllowed            nobody of these roles, or no key of these scopes, may do this
    ├── NameOfAnother         somebody else than the signed-in person is named
    ├── SecondFactorNeeded    a PIN or a TOTP code is missing
    ├── SecondFactorWrong     it is wrong, or a code was used before
    ├── SecondFactorNotSet    the account has none yet
    └── LoginTaken            (Conflict)  another account has this login, or the person has an account
"""

from __future__ import annotations

from swap.errors import Conflict, SwapError
from swap.words import N_


class AccessError(SwapError):
    """Base of the errors of signing in and of rights."""


class NotSignedIn(AccessError):
    """The request names nobody, and not everybody may do this."""

    def __init__(self) -> None:
        super().__init__(N_("Sign in first, or send a key: Authorization: Bearer …"))


class TokenNotValid(AccessError):
    """The token or key is unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__(N_("The token or key is unknown, has expired or was revoked. Sign in again."))


class TokenReused(AccessError):
    """A refresh token has come twice: one of the two that had it was not meant to."""

    def __init__(self) -> None:
        super().__init__(N_("The refresh token was used before. Every token of that sign-in has ended; sign in."))


class SignInFailed(AccessError):
    """Login or password is wrong, or the account is not to be used."""

    def __init__(self) -> None:
        super().__init__(N_("Login or password is wrong, or the account is not in use."))


class TooManyAttempts(AccessError):
    """Too many failed attempts in a row; nothing is tried for a while, right or wrong."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(N_("Too many failed attempts. Try again in {seconds} s."), seconds=retry_after_s)


class TooManyRequests(AccessError):
    """The caller sends more requests than one may."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            N_("You send more requests than one caller may. Go on after {seconds} s."), seconds=retry_after_s
        )


class NotAllowed(AccessError):
    """The roles or scopes do not reach so far."""

    def __init__(self, operation: str) -> None:
        super().__init__(N_("Your roles do not allow {operation}."), operation=operation)


class StepOfParty(NotAllowed):
    """A step of a contract that its other party takes."""

    def __init__(self, step: str, firm: str) -> None:
        AccessError.__init__(
            self, N_("{step} is for {firm} to do, the other party of the contract."), step=step, firm=firm
        )


class NameOfAnother(AccessError):
    """Somebody else than the signed-in person is named."""

    def __init__(self, name: str) -> None:
        super().__init__(N_("{name} is not who has signed in; leave the name out."), name=name)


class SecondFactorNeeded(AccessError):
    """A PIN or a TOTP code is missing. `factor` is which."""

    def __init__(self, factor: str) -> None:
        self.factor = factor
        super().__init__(N_("This needs your {factor} once more."), factor=factor)


class SecondFactorWrong(AccessError):
    """The PIN or the code is wrong, or the code was used before."""

    def __init__(self, factor: str) -> None:
        self.factor = factor
        super().__init__(N_("The {factor} is wrong or was used before."), factor=factor)


class SecondFactorNotSet(AccessError):
    """The account has no PIN, or no device for TOTP codes, yet."""

    def __init__(self, factor: str) -> None:
        self.factor = factor
        super().__init__(N_("Your account has no {factor} yet: set it first."), factor=factor)


class LoginTaken(AccessError, Conflict):
    """Another account has this login, or the person of this name has an account."""
