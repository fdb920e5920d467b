"""Ready-made redactors for `instrument(redact=...)`. None is on by default."""

import re

__all__ = ["secrets"]

# Each pattern is linear in the length of the text: a redactor runs within the app's calls.
_PEM = re.compile(r"(?s)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)")
_URL_USER = re.compile(r"(?<=://)[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}@")
_BEARER = re.compile(r"(?i:\b(bearer)([ \t]+))[\w.~+/=-]{8,}", re.ASCII)
_BASIC = re.compile(r"(?i:\b(basic)([ \t]+))(?=[a-zA-Z+/]{0,64}[A-Z0-9+/=])[\w+/=-]{12,}", re.ASCII)
_KEY = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?:sk|pk|rk|fk)[-_][\w-]{16,}                # OpenAI, Anthropic, OpenRouter, Stripe
      | (?:gsk|hf|r8|tgp|npm|whsec|xai|pplx|nvapi|glpat|dapi)[-_][\w-]{16,}
      | (?:gh[pousr]|github_pat)_\w{20,}
      | xox[a-z]-[\w-]{10,}
      | (?:AKIA|ASIA)[A-Z0-9]{16}
      | AIza[\w-]{30,}
      | eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?         # JSON Web Token
    )""",
    re.ASCII | re.VERBOSE,
)
_NAMED = re.compile(
    r"""(?ix)
    ( api[_-]?key | access[_-]?key | secret[_-]?key | secret | password | passwd | pwd | passphrase
    | (?:access|auth|refresh|id|session|bearer)[_-]?token | authorization | credential | signature
    | [?&](?:sig|key|token)
    )
    ( \\*["']? [ \t]{0,8} [:=] [ \t]{0,8} )
    (?: (\\*") [^"\\]{1,4096} (?=\\*") | (') [^']{1,4096} (?=') | (?!bearer|basic) [^\s"'\\,;&]{3,} )
    """
)
_EMAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]{1,128}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_CARD = re.compile(r"(?<![\d.])\d(?:[ \u00a0-]?\d){12,22}(?!\d)")
_PHONE = re.compile(
    r"""(?<![\w+]) (?:
        \+ [ ]? \d (?: [ ().\u00a0/-]{0,2} \d ){6,14}                    # international
      | \(? [2-9]\d\d \)? [ .-]{1,2} \d{3} [ .-] \d{4}                   # North America
      | 0\d (?: [ .-] \d\d ){4}                                          # France
      | 0\d{2,4} [ /-] \d{3,4} [ -]? \d{3,4}                             # United Kingdom, Germany
    ) (?!\d)""",
    re.VERBOSE,
)


def secrets(kind: str, text: str) -> str:  # noqa: ARG001 - the signature of a redactor
    """Replace what looks like an email address, a phone number, a card number, a key or a bearer token.

    It knows them by their form alone, one piece of text at a time. It does not know names, postal addresses, a password
    in a sentence, a phone number written without `+` or separators, a key of no known form, what is spelled out or
    encoded, or what is divided between two pieces. And it takes some harmless texts for secrets. It lowers the risk; it
    is no promise that nothing personal leaves.

    Args:
        kind: What the text is, which makes no difference here.
        text: One piece of content.

    Returns:
        The text with `[email]`, `[phone]`, `[card]` and `[secret]` in their places.
    """
    text = _PEM.sub("[secret]", text)
    text = _URL_USER.sub("[secret]@", text)
    text = _BEARER.sub(r"\1\2[secret]", text)
    text = _BASIC.sub(r"\1\2[secret]", text)
    text = _KEY.sub("[secret]", text)
    text = _NAMED.sub(r"\1\2\3\4[secret]", text)
    text = _EMAIL.sub("[email]", text)
    text = _CARD.sub(_card, text)
    return _PHONE.sub("[phone]", text)


_MAX_GROUPS = 5


def _card(match: re.Match[str]) -> str:
    """A card number, known by its check digit; digits that stand beside it are not part of it."""
    text = match.group()
    groups = [(found.start(), found.end()) for found in re.finditer(r"\d+", text)]
    for first in range(len(groups)):
        for last in range(min(first + _MAX_GROUPS, len(groups)) - 1, first - 1, -1):
            start, end = groups[first][0], groups[last][1]
            digits = [int(character) for character in text[start:end] if character.isdecimal()]
            if 13 <= len(digits) <= 19 and _is_valid(digits):  # noqa: PLR2004 - how long card numbers are
                return f"{text[:start]}[card]{text[end:]}"
    return text


def _is_valid(digits: list[int]) -> bool:
    """Luhn's formula."""
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]  # noqa: PLR2004
    return any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
