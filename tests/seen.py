"""What an app can see of its client: one program is run against the bare and the instrumented client, and compared."""

import contextlib
import gc
import io
import logging
import re
import traceback
import warnings
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal, TypeAlias, cast

from opentelemetry.sdk.trace import ReadableSpan

import otel_openai
from server import Scripted, ScriptedServer
from support import Api, Told, client, collect

Kind: TypeAlias = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")

# Differs from run to run by nature: ports, addresses in memory, ids and boundaries that the client makes up, delays
# before a retry.
_VOLATILE = re.compile(
    r"(?<=boundary=)[0-9a-f]{32}|"
    r"(?<=127\.0\.0\.1:)\d+|(?<=0x)[0-9a-f]{6,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=in )\d+\.\d+(?= seconds)"
)


@dataclass
class Seen:
    """Everything that a program saw, and what the server saw of it."""

    notes: list[Any] = field(default_factory=list[Any])
    warnings: list[Any] = field(default_factory=list[Any])
    printed: str = ""
    logged: list[Any] = field(default_factory=list[Any])
    requests: list[Any] = field(default_factory=list[Any])

    def beside(self, other: "Seen") -> list[tuple[Any, Any]]:
        """What differs, pair by pair: empty where both saw the same."""
        pairs: list[tuple[Any, Any]] = []
        for name in ("notes", "warnings", "logged", "requests"):
            pairs.extend(zip_longest(getattr(self, name), getattr(other, name)))
        return [pair for pair in [*pairs, (self.printed, other.printed)] if pair[0] != pair[1]]

    def __call__(self, *values: Any) -> None:
        """Take note of values that the program got."""
        self.notes.extend(describe(value) for value in values)

    @contextlib.contextmanager
    def raising(self) -> Generator[None, None, None]:
        """Take note of the exception that ends the block."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, both clients have to raise it
            self.notes.append(("raised", describe(error)))
        else:
            self.notes.append("nothing raised")


Run: TypeAlias = Callable[[Api, Seen], Awaitable[None]]


@dataclass(frozen=True)
class Program:
    """What an app does, what the server answers, and how many spans that makes."""

    run: Run
    replies: Sequence[Scripted] = ()
    spans: int | None = 1
    """None where nothing is said of them."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of the client."""
    kinds: tuple[Kind, ...] = KINDS
    concurrent: bool = False
    """True where requests run side by side: log lines interleave, and connections are shared, as it happens."""


async def seen(program: Program, kind: Kind) -> Seen:
    """Run a program with a client and a server of its own, and return what was seen."""
    gc.freeze()  # collections then look at what the program has made, and take no time
    try:
        return await _seen(program, kind)
    finally:
        gc.unfreeze()


async def _seen(program: Program, kind: Kind) -> Seen:
    noted = Seen()
    printed = io.StringIO()
    records: list[logging.LogRecord] = []
    with ScriptedServer() as server, _logs(records), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        server.reply(*program.replies)
        api = Api(kind, client(kind, server.base_url, **program.options))
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            await program.run(api, noted)
            await collect()
        await api.close(api.client)
        noted.requests = [_request(request) for request in server.requests]
    noted.warnings = [(w.category, steady(str(w.message)), w.filename) for w in warned]
    noted.printed = steady(printed.getvalue())
    noted.logged = [(r.name, r.levelname, r.funcName, steady(r.getMessage())) for r in records]
    if program.concurrent:
        noted.logged = sorted(set(noted.logged))
    return noted


async def seen_by_both(program: Program, kind: Kind, **options: Any) -> tuple[Seen, Seen, list[ReadableSpan]]:
    """What the bare client's app saw, what the instrumented client's app saw, and the spans of the latter."""
    bare = await seen(program, kind)
    told = Told()
    told.instrument(**options)
    try:
        instrumented = await seen(program, kind)
        return bare, instrumented, told.spans
    finally:
        otel_openai.uninstrument()
        told.shutdown()


def describe(value: Any) -> Any:
    """A value as something that compares: with its type, whole, whatever it holds; floats by their text, for NaN."""
    kind = cast("type[Any]", type(value))
    if isinstance(value, BaseException):
        return _describe_error(value)
    if isinstance(value, type):
        return value
    if isinstance(value, str):
        return (kind, steady(value))
    if hasattr(value, "__pydantic_fields_set__"):
        return (
            kind,
            describe(value.__dict__),
            sorted(value.__pydantic_fields_set__),
            describe(value.__pydantic_extra__),
            describe(value.__pydantic_private__),
        )
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return (kind, [(key, describe(item)) for key, item in items])
    if isinstance(value, (list, tuple)):
        return (kind, [describe(item) for item in cast("Sequence[Any]", value)])
    if value is None or isinstance(value, (bool, int, float, bytes)):
        return (kind, repr(value))
    if kind.__name__ == "Response" and hasattr(value, "is_closed"):
        content = value.content if hasattr(value, "_content") else "not read"
        return (kind, value.status_code, _headers(value.headers.multi_items()), value.is_closed, content)
    if kind.__name__ == "Request" and hasattr(value, "method"):
        return (kind, value.method, steady(str(value.url)), _headers(value.headers.multi_items()))
    return kind


def _describe_error(error: BaseException) -> Any:
    chain = [error.__cause__, error.__context__]
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return (
        type(error),
        steady("".join(traceback.format_exception_only(error))),
        describe(error.args),
        describe(vars(error)),
        [None if other is None else type(other) for other in chain],
        error.__suppress_context__,
        # What a traceback shows, our own frames apart.
        [(code.co_filename, code.co_name) for code in frames if "otel_openai" not in code.co_filename],
    )


def steady(text: str) -> str:
    """A text without what differs by nature."""
    return _VOLATILE.sub("~", text)


def _headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, steady(value)) for name, value in headers]


def _request(request: Any) -> Any:
    boundary = (request.header("content-type") or "").partition("boundary=")[2].encode()
    body = request.body.replace(boundary, b"~") if boundary else request.body
    return (request.method, request.path, _headers(request.headers), body, request.connection)


@contextlib.contextmanager
def _logs(records: list[logging.LogRecord]) -> Generator[None, None, None]:
    """Collect what the client and its HTTP library log, at every level."""

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keeping()
    logger = logging.getLogger("openai")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
