"""An instrumented method looks like the client's own: to inspect, pydoc, mock, copy, pickle and subclasses."""

import copy
import inspect
import pickle
import pydoc
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any
from unittest import mock

import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions, Completions

import otel_openai
from otel_openai._table import TABLE, Row
from otel_openai._wrapping import layers
from server import ScriptedServer, chat
from support import Api, Told, client


def has_row(row: Row) -> bool:
    """Whether this version of the client has the method."""
    try:
        return row.method in vars(vars(import_module(row.module)).get(row.name, object))
    except ModuleNotFoundError:
        return False


def is_observed(method: Any) -> bool:
    return any(hasattr(layer, "_self_wrapper") for layer in layers(method))


METHODS: list[tuple[Any, str]] = [
    (vars(import_module(row.module))[prefix + row.name], row.method)
    for prefix in ("", "Async")
    for row in TABLE
    if has_row(row)
]
FACTS: list[Callable[[Any], Any]] = [
    inspect.signature,
    inspect.iscoroutinefunction,
    inspect.isfunction,
    inspect.isroutine,
    inspect.getsource,
    inspect.getsourcefile,
    inspect.getdoc,
    inspect.unwrap,
    pydoc.render_doc,
    lambda method: (method.__name__, method.__qualname__, method.__module__, method.__doc__),
    lambda method: (method.__annotations__, method.__defaults__, method.__kwdefaults__, method.__code__),
]


@pytest.fixture
def switched_on(told: Told) -> Iterator[Callable[[], None]]:
    """Instrumentation is off until the test switches it on."""
    otel_openai.uninstrument()
    yield told.instrument
    told.instrument()


@pytest.mark.parametrize(("owner", "name"), METHODS, ids=lambda value: getattr(value, "__name__", value))
def test_a_method_looks_like_the_clients_own(owner: Any, name: str, switched_on: Callable[[], None]) -> None:
    members: dict[str, Any] = owner.__dict__
    bare = [fact(getattr(owner, name)) for fact in FACTS]
    assert not is_observed(members[name])

    switched_on()

    assert is_observed(members[name])
    assert [fact(getattr(owner, name)) for fact in FACTS] == bare


@pytest.mark.parametrize(("owner", "name"), METHODS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.usefixtures("told")
def test_a_method_copies_and_pickles(owner: Any, name: str) -> None:
    method = getattr(owner, name)

    assert copy.copy(method) == method
    assert copy.deepcopy({"call": method}) == {"call": method}
    assert pickle.loads(pickle.dumps(method)) == method  # noqa: S301 - our own


@pytest.mark.usefixtures("told")
def test_a_bound_method_is_the_clients_own() -> None:
    made = client("sync", "http://127.0.0.1/v1")
    method = made.chat.completions.create

    assert inspect.ismethod(method)
    assert method.__self__ is made.chat.completions
    assert method == made.chat.completions.create
    assert hash(method) == hash(made.chat.completions.create)
    assert {method: 1}[made.chat.completions.create] == 1
    assert copy.copy(method) == method
    assert method.__func__ is vars(Completions)["create"].__wrapped__
    assert next(iter(inspect.signature(method).parameters)) == "messages"
    for duplicate in (pickle.dumps, copy.deepcopy):  # a client has locks: nobody can pickle or copy it
        with pytest.raises((TypeError, pickle.PicklingError), match="pickle"):
            duplicate(method)


async def test_a_copied_method_is_traced(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())
    method = copy.copy(api.client.chat.completions.create)

    result = method(model="gpt-4o-mini", messages=[])

    assert (await result if api.is_async else result).choices[0].message.content == "Hello!"
    assert told.span.name == "chat gpt-4o-mini"


async def test_a_mock_in_place_of_a_method_comes_and_goes(api: Api, server: ScriptedServer, told: Told) -> None:
    owner = AsyncCompletions if api.is_async else Completions

    for autospec in (None, True):
        mocked: Any
        with mock.patch.object(owner, "create", autospec=autospec) as mocked:
            mocked.return_value = "mocked"
            assert api.client.chat.completions.create(model="m", messages=[]) == "mocked"
            assert mocked.call_count == 1
        assert told.spans == []
    server.reply(chat())
    await api.chat()

    assert told.span.name == "chat gpt-4o-mini"


async def test_a_subclass_that_calls_its_parent_is_traced_once(api: Api, server: ScriptedServer, told: Told) -> None:
    base: Any = AsyncCompletions if api.is_async else Completions

    class Own(base):
        def create(self, **kwargs: Any) -> Any:
            parent: Any = super()
            return parent.create(**kwargs)

    server.reply(chat())
    result = Own(api.client).create(model="gpt-4o-mini", messages=[])

    assert (await result if api.is_async else result).object == "chat.completion"
    assert told.span.name == "chat gpt-4o-mini"


async def test_a_subclass_of_the_client_is_traced(api: Api, server: ScriptedServer, told: Told) -> None:
    base: Any = openai.AsyncOpenAI if api.is_async else openai.OpenAI

    class Own(base):
        def __eq__(self, other: object) -> bool:  # so it has no hash: it cannot be a key
            return self is other

        __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]

    server.reply(chat())
    own = Own(base_url=server.base_url, api_key="sk-test", http_client=api.client._client)
    result = own.chat.completions.create(model="gpt-4o-mini", messages=[])

    assert (await result if api.is_async else result).object == "chat.completion"
    assert told.span.name == "chat gpt-4o-mini"
