"""What the smaller APIs tell: moderations, decisions, videos, and the Responses of the beta."""

from typing import Any

import openai
import pytest

from expected import RESPONSE_USAGE, Attributes, at, changed
from programs import ARGUMENTS
from server import (
    ABSENT,
    MODEL,
    ScriptedServer,
    compacted_response,
    decision,
    error_reply,
    function_call,
    moderation,
    response,
    response_stream,
    sse,
    text_reply,
    video,
)
from streamed import described
from support import Api, Told, need

DURATION = "otel_openai.usage.duration"
VIDEO = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.output.type": "video",
    "gen_ai.response.id": "video_123",
    "gen_ai.response.model": "sora-2",
    DURATION: 8.0,
}
MODERATION = {
    "gen_ai.operation.name": "moderation",
    "gen_ai.request.model": "omni-moderation-latest",
    "gen_ai.response.id": "modr-0d9740456c391e43",
    "gen_ai.response.model": "omni-moderation-latest",
}
DECISION = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-6-luna",
    "gen_ai.response.model": "gpt-6-luna",
    **RESPONSE_USAGE,
}
BETA = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o-mini",
    "openai.api.type": "responses",
    "gen_ai.response.id": "resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78",
    "gen_ai.response.model": MODEL,
    "gen_ai.response.finish_reasons": ["stop"],
    "openai.response.service_tier": "default",
    "otel_openai.tool_call.count": 0,
    **RESPONSE_USAGE,
}
_NO_DECISION = {**dict.fromkeys(RESPONSE_USAGE), "gen_ai.response.model": None}
_NO_MODERATION = {"gen_ai.response.id": None, "gen_ai.response.model": None}
_NO_VIDEO = {"gen_ai.response.id": None, "gen_ai.response.model": None, DURATION: None}
_PAGE = text_reply("<html>", content_type="text/html")
_TOOL = {
    "gen_ai.response.finish_reasons": ["tool_calls"],
    "otel_openai.tool_call.count": 1,
    "otel_openai.tool_call.names": ["get_weather"],
}
_SECONDS: list[tuple[Any, float | None]] = [
    *(("12", 12.0), (4, 4.0), ("2.5", 2.5), ("0", 0.0)),
    *((odd, None) for odd in ("many", "", "nan", "inf", "-4", -4, True, None, ["4"])),
]

ANSWERS: dict[tuple[str, str], tuple[Any, Attributes]] = {
    ("moderations.create", "a result"): (moderation(), MODERATION),
    ("moderations.create", "no results"): (moderation(results=None), MODERATION),
    ("moderations.create", "nothing"): ({}, {**MODERATION, **_NO_MODERATION}),
    ("moderations.create", "a page"): (
        _PAGE,
        {**MODERATION, **_NO_MODERATION, "error.type": "unexpected_response_body"},
    ),
    ("decisions.create", "answers"): (decision(), DECISION),
    ("decisions.create", "an id"): (decision(id="dec_1"), {**DECISION, "gen_ai.response.id": "dec_1"}),
    ("decisions.create", "no usage"): (decision(usage=ABSENT), {**DECISION, **dict.fromkeys(RESPONSE_USAGE)}),
    ("decisions.create", "an error"): (
        {"error": {"code": "server_error"}},
        {**DECISION, **_NO_DECISION, "error.type": "server_error"},
    ),
    ("videos.create", "a job"): (video(), {**VIDEO, "gen_ai.request.model": "sora-2"}),
    ("videos.create", "a failed job"): (
        video(status="failed", error={"code": "content_filter", "message": "No."}),
        {**VIDEO, "gen_ai.request.model": "sora-2", DURATION: None, "error.type": "content_filter"},
    ),
    ("videos.create", "nothing"): ({}, {**VIDEO, **_NO_VIDEO, "gen_ai.request.model": "sora-2"}),
    **{
        ("videos.create", f"a job of {seconds!r} seconds"): (
            video(seconds=seconds),
            {**VIDEO, "gen_ai.request.model": "sora-2", DURATION: told},
        )
        for seconds, told in _SECONDS
    },
    ("videos.remix", "a job"): (video(), VIDEO),
    ("videos.edit", "a job"): (video(), VIDEO),
    ("videos.extend", "a job of which seconds is the length of old and new"): (
        video(seconds="16"),
        {**VIDEO, DURATION: None},
    ),
    ("beta.responses.create", "text"): (response(), BETA),
    ("beta.responses.create", "a tool"): (response(output=[function_call()]), {**BETA, **_TOOL}),
    ("beta.responses.compact", "items"): (
        compacted_response(),
        {
            **BETA,
            "gen_ai.response.id": compacted_response()["id"],
            "gen_ai.response.model": None,
            "gen_ai.response.finish_reasons": None,
            "openai.response.service_tier": None,
            "otel_openai.tool_call.count": None,
            "gen_ai.usage.input_tokens": 139,
            "gen_ai.usage.output_tokens": 438,
            "gen_ai.usage.reasoning.output_tokens": 64,
        },
    ),
    ("beta.responses.retrieve", "text"): (
        response(),
        {
            **BETA,
            **dict.fromkeys(RESPONSE_USAGE),
            "gen_ai.operation.name": "fetch_response",
            "gen_ai.request.model": None,
            "otel_openai.tool_call.count": None,
        },
    ),
}


@pytest.mark.parametrize(("method", "shape"), ANSWERS, ids=str)
async def test_an_answer_tells_what_it_holds(
    api: Api, server: ScriptedServer, told: Told, method: str, shape: str
) -> None:
    need(method)
    body, expected = ANSWERS[method, shape]
    server.reply(body)

    await api.call(method, **ARGUMENTS[method])

    assert told.attributes == changed({**at(server), "http.response.status_code": 200}, expected)
    model = expected.get("gen_ai.request.model")
    assert told.span.name == " ".join([expected["gen_ai.operation.name"], *([model] if model else [])])
    assert told.span.status.status_code.name == ("ERROR" if "error.type" in expected else "UNSET")
    usage = expected.get("gen_ai.usage.output_tokens")
    assert told.total("gen_ai.client.inference.usage.output_tokens") == (usage or 0)
    assert told.total(DURATION) == (expected.get(DURATION) or 0)
    assert type(told.attributes.get(DURATION, 0.0)) is float
    assert [count for _, (count, _) in told.points("gen_ai.client.operation.duration")] == [1]


@pytest.mark.parametrize("method", sorted({method for method, _ in ANSWERS}))
async def test_a_refusal_is_an_error(api: Api, server: ScriptedServer, told: Told, method: str) -> None:
    need(method)
    server.reply(error_reply(429))

    with pytest.raises(openai.RateLimitError):
        await api.call(method, **ARGUMENTS[method])

    assert told.attributes["error.type"] == "rate_limit_exceeded"
    assert told.attributes["http.response.status_code"] == 429
    assert told.span.status.status_code.name == "ERROR"
    assert told.total("otel_openai.active_requests") == 0


async def test_a_stream_of_the_beta_tells_what_a_plain_answer_tells(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    need("beta.responses.create")
    server.reply(sse(*response_stream("Hel", "lo!")))

    await api.drain(await api.call("beta.responses.create", **ARGUMENTS["beta.responses.create"], stream=True))

    streamed = described(told.span)
    assert streamed.pop("otel_openai.stream.chunk.count") > 5
    assert streamed.pop("otel_openai.stream.outcome") == "completed"
    assert streamed.pop("gen_ai.request.stream") is True
    assert streamed == {**at(server), "http.response.status_code": 200, **BETA}


async def test_a_poll_helper_of_videos_is_one_span(api: Api, server: ScriptedServer, told: Told) -> None:
    need("videos.create_and_poll")
    server.reply(video(), video(status="in_progress"), video(status="completed", progress=100))

    await api.call("videos.create_and_poll", model="sora-2", prompt="A cat.", poll_interval_ms=1)

    assert len(server.requests) == 3
    assert told.span.name == "generate_content sora-2"
    assert told.total(DURATION) == 8
