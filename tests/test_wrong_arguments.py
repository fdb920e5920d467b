"""A call that the client refuses for its arguments, before any request, is a call that failed: in every mode."""

from collections.abc import Mapping
from typing import Any

import pytest

from programs import ARGUMENTS, CHAT_HELPER, PLAIN, RUN_HELPERS, STREAMS, entered
from server import ScriptedServer
from support import Api, Told, has, raw_form

WRONG: Mapping[str, Any] = {"no_such_argument": 1}
CALLS: dict[str, tuple[str, Mapping[str, Any]]] = {
    **{method: (method, ARGUMENTS[method]) for method in PLAIN},
    **{f"{method} stream": (method, {**ARGUMENTS[method], "stream": True}) for method in STREAMS},
    **{
        f"{method} {kind}": (raw_form(method, kind), ARGUMENTS[method])
        for method in PLAIN
        for kind in ("raw", "streaming")
        if has(raw_form(method, kind))
    },
    **{method: (method, ARGUMENTS[create]) for method, create in RUN_HELPERS.items()},
}


async def make(api: Api, method: str, arguments: Mapping[str, Any]) -> None:
    """Make a call; the sync form of a streaming response makes it when it is entered."""
    async with entered(await api.call(method, **arguments)):
        pass


@pytest.mark.parametrize(("method", "arguments"), CALLS.values(), ids=CALLS)
async def test_an_argument_that_the_client_does_not_take_is_told(
    api: Api, server: ScriptedServer, told: Told, method: str, arguments: Mapping[str, Any]
) -> None:
    with pytest.raises(TypeError, match="no_such_argument"):
        await make(api, method, {**arguments, **WRONG})

    assert not server.requests
    assert told.attributes["error.type"] == "TypeError"
    assert "http.response.status_code" not in told.attributes
    assert told.span.status.description == "TypeError"
    assert told.points("otel_openai.active_requests")[0][1] == 0


@pytest.mark.parametrize("form", ["chat.completions.create", raw_form("chat.completions.create", "raw")])
async def test_an_argument_that_is_missing_is_told(api: Api, server: ScriptedServer, told: Told, form: str) -> None:
    with pytest.raises(TypeError, match="Missing required argument"):
        await api.call(form, model="gpt-4o-mini")

    assert not server.requests
    assert (told.span.name, told.attributes["error.type"]) == ("chat gpt-4o-mini", "TypeError")


@pytest.mark.parametrize("helper", [CHAT_HELPER, "responses.stream"])
async def test_a_helper_that_has_not_called_yet_tells_nothing(
    api: Api, server: ScriptedServer, told: Told, helper: str
) -> None:
    with pytest.raises(TypeError, match="no_such_argument"):
        await api.call(helper, model="gpt-4o-mini", **WRONG)

    assert not server.requests
    assert told.spans == []
