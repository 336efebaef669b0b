"""Passwords of editors, kept as scrypt hashes: nobody reads a password from them, and trying one takes a moment."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from binascii import Error

FEWEST_CHARACTERS = 10
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1
_MEMORY = 2 * 128 * _COST * _BLOCK
"""Bytes that scrypt may take: twice what it needs."""


def hash_of(password: str) -> str:
    """Return what is kept of a password: the parameters of scrypt, a salt of its own, and the hash."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return "$".join(["scrypt", *map(str, (_COST, _BLOCK, _PARALLEL)), _text(salt), _text(digest)])


def is_of(password: str, kept: str) -> bool:
    """Whether a password is the one that a hash was made of; False of what is no hash of ours."""
    name, *rest = kept.split("$")
    try:
        cost, block, parallel, salt, digest = rest
        parameters = (int(cost), int(block), int(parallel))
        expected = b64decode(digest, validate=True)
        found = _scrypt(password, b64decode(salt, validate=True), *parameters)
    except (ValueError, Error, OverflowError):
        return False
    return name == "scrypt" and hmac.compare_digest(found, expected)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    given = password.encode(errors="surrogateescape")
    return hashlib.scrypt(given, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=32)


def _text(content: bytes) -> str:
    return b64encode(content).decode()
