"""What a plain chat completion tells."""

from server import ScriptedServer, chat, choice, json_reply, openai_headers, tool_call
from support import Api, Told


async def test_a_plain_call_is_one_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat("Hello!", id="chatcmpl-1", model="gpt-4o-mini-2024-07-18"))

    await api.chat(temperature=0.5, max_tokens=10)

    span = told.span
    assert span.name == "chat gpt-4o-mini"
    assert span.kind.name == "CLIENT"
    assert span.status.status_code.name == "UNSET"
    print(told.attributes)
