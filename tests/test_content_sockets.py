"""Content of Responses over WebSocket is told as it is over HTTP; that of Realtime is not told."""

from collections.abc import Callable

import pytest

from content import INPUT, OUTPUT, answer, on_span, user
from server.sockets import Await, SocketServer
from spoken import REALTIME, RESPONSES, Spoken, cases
from support import Api, Told


@pytest.mark.parametrize("spoken", cases(RESPONSES, REALTIME))
async def test_only_responses_are_told(
    talker: Api, sockets: SocketServer, telling: Callable[..., Told], spoken: Spoken
) -> None:
    told = telling(capture_content="span")
    sockets.script(*spoken.hello, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.take(len(spoken.events))

    told_over_http = {INPUT: [user("Say hello.")], OUTPUT: [answer("Hello!")]}
    assert on_span(told) == (told_over_http if spoken is RESPONSES else {})
