"""The ready-made redactor: what it knows, what it leaves alone, and that it is quick on any text."""

from time import process_time

import pytest

from otel_openai.redactors import secrets

KNOWN = {
    "Write to bob.o'neil+x@mail.example.co.uk today": "Write to [email] today",
    "ALICE@EXAMPLE.COM, bob@example.org": "[email], [email]",
    "call +49 (0)30 1234-5678": "call [phone]",
    "call +1 415 555 2671.": "call [phone].",
    "(415) 555-2671 or 415.555.2671": "[phone] or [phone]",
    "06 12 34 56 78": "[phone]",
    "4111 1111 1111 1111": "[card]",
    "4111-1111-1111-1111 12/27": "[card] 12/27",
    "378282246310005": "[card]",
    "sk-proj-abcdefghijklmnopqrstuv": "[secret]",
    "hf_abcdefghijklmnopqrstuv and ghp_abcdefghijklmnopqrstuv": "[secret] and [secret]",
    "AKIAIOSFODNN7EXAMPLE": "[secret]",
    "Authorization: Bearer abc.def-123": "Authorization: Bearer [secret]",
    "Authorization: Basic dXNlcjpwYXNz": "Authorization: Basic [secret]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3": "[secret]",
    '{"api_key": "with a space", "password":"x1y2"}': '{"api_key": "[secret]", "password":"[secret]"}',
    r"{\"password\": \"a b\"}": r"{\"password\": \"[secret]\"}",
    "OPENAI_API_KEY=abcd1234 python app.py": "OPENAI_API_KEY=[secret] python app.py",
    "https://user:pa55@host/x?sig=abcdef&y=1": "https://[secret]@host/x?sig=[secret]&y=1",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4\nMIIE\n-----END RSA PRIVATE KEY----- bye": "[secret] bye",
    "-----BEGIN PRIVATE KEY-----\nMIIE and no end": "[secret]",
}


@pytest.mark.parametrize("text", KNOWN)
def test_what_is_known_is_replaced(text: str) -> None:
    assert secrets("prompt", text) == KNOWN[text]


HARMLESS = [
    "",
    "Hello!",
    "max_tokens: 4096, tokens = 12",
    "1234567890123456 is an order",
    "2026-11-22 07:56:00.123456",
    "3.14159265358979323",
    "version 1.2.3.4, host 10.0.0.1",
    "a basic understanding of bearer bonds",
    "task-force, risk-averse, desk-top",
    "https://example.com/a?b=c",
    "name@host",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_is_left_alone(text: str) -> None:
    assert secrets("prompt", text) == text


HOSTILE = [
    "a",
    "1 ",
    "1",
    "+",
    "a@",
    "0-",
    "a.",
    "password",
    "password\\",
    "eyJ",
    "://",
    "bearer ",
    "sk-",
    "()",
    "(200",
    "\\",
]


@pytest.mark.parametrize("piece", [*HOSTILE, "-----BEGIN PRIVATE KEY-----"])
def test_no_text_takes_long(piece: str) -> None:
    """Linear: ten times the text takes about ten times as long, where a pattern that backtracks takes a hundred."""
    short, long = (_seconds(piece * (length // len(piece))) for length in (10_000, 100_000))
    assert long < 40 * short + 0.05


def _seconds(text: str) -> float:
    started = process_time()
    secrets("prompt", text)
    return process_time() - started
