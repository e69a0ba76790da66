"""Z85: binary keys as printable text (ZeroMQ's RFC 32)."""

from __future__ import annotations

__all__ = ["ALPHABET", "decode", "encode"]

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def decode(text: str) -> bytes:
    """Return a key's 32 bytes (ZeroMQ's RFC 32); ValueError or OverflowError for no key."""
    if len(text) != 40:
        raise ValueError(text)
    key = b""
    for start in range(0, 40, 5):
        number = 0
        for character in text[start : start + 5]:
            number = number * 85 + ALPHABET.index(character)
        key += number.to_bytes(4, "big")
    return key


def encode(key: bytes) -> str:
    """Return a key's 32 bytes as 40 characters."""
    text = ""
    for start in range(0, len(key), 4):
        number = int.from_bytes(key[start : start + 4], "big")
        for power in (85**4, 85**3, 85**2, 85, 1):
            text += ALPHABET[number // power % 85]
    return text
