"""What batches tell: the usage of a finished one, once, however often it is looked at."""

import itertools
import threading
from typing import Any

import pytest

from expected import Attributes, at, changed
from otel_openai.operations import _once
from programs import ARGUMENTS
from server import MODEL, ScriptedServer, batch, error_reply, json_reply, response_usage
from support import Api, Told, attributes_of, client

USAGE = {
    "gen_ai.usage.input_tokens": 900,
    "gen_ai.usage.output_tokens": 120,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.cache_write.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 0,
}
_ids = (f"batch_test_{number}" for number in itertools.count())


@pytest.fixture
def batch_id() -> str:
    """An id that this process has not seen."""
    return next(_ids)


def finished(batch_id: str, status: str = "completed", **fields: Any) -> Any:
    return batch(status, id=batch_id, **{"model": MODEL, "usage": response_usage(900, 120), **fields})


def fetched(server: ScriptedServer, batch_id: str, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "fetch_batch",
        "gen_ai.response.id": batch_id,
        "http.response.status_code": 200,
    }
    return changed({**at(server), **answer}, *changes)


async def test_a_batch_is_made(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(batch())

    await api.call("batches.create", **ARGUMENTS["batches.create"])

    made = {"gen_ai.operation.name": "create_batch"}
    assert told.attributes == fetched(server, "batch_abc123", made)
    assert told.span.name == "create_batch"


async def test_the_usage_of_a_finished_batch_is_told_once(
    api: Api, server: ScriptedServer, told: Told, batch_id: str
) -> None:
    server.reply(batch("in_progress", id=batch_id, usage=response_usage(1, 1)), finished(batch_id), finished(batch_id))

    for _ in range(3):
        await api.call("batches.retrieve", batch_id)

    model = {"gen_ai.response.model": MODEL}
    assert [attributes_of(span) for span in told.spans] == [
        fetched(server, batch_id),
        fetched(server, batch_id, model, USAGE),
        fetched(server, batch_id, model),
    ]
    assert told.total("gen_ai.client.inference.usage.input_tokens") == 900
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 120
    assert told.total("otel_openai.finish_reasons") == 0


async def test_a_raw_look_counts_like_any_other(api: Api, server: ScriptedServer, told: Told, batch_id: str) -> None:
    server.always(finished(batch_id))

    answer = await api.call("batches.with_raw_response.retrieve", batch_id)
    await api.call("batches.retrieve", batch_id)

    assert answer.parse().id == batch_id
    assert told.total("gen_ai.client.inference.usage.input_tokens") == 900


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled", "failed"])
async def test_a_batch_that_ended_early_is_billed_as_far_as_it_came(
    api: Api, server: ScriptedServer, told: Told, batch_id: str, status: str
) -> None:
    server.reply(finished(batch_id, status))

    await api.call("batches.retrieve", batch_id)

    assert told.attributes["gen_ai.usage.input_tokens"] == 900
    assert told.span.status.status_code.name == "UNSET"


@pytest.mark.parametrize("fields", [{"usage": None}, {"usage": {}}, {"usage": "many"}, {"id": None}, {"status": None}])
async def test_what_cannot_be_counted_once_is_not_counted(
    api: Api, server: ScriptedServer, told: Told, batch_id: str, fields: dict[str, Any]
) -> None:
    server.always({**finished(batch_id), **fields})

    for _ in range(2):
        await api.call("batches.retrieve", batch_id)

    assert told.total("gen_ai.client.inference.usage.input_tokens") == 0
    assert len(told.spans) == 2


async def test_a_batch_that_is_not_there_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(404))

    with pytest.raises(Exception, match="404"):
        await api.call("batches.retrieve", "batch_0")

    assert told.attributes["gen_ai.response.id"] == "batch_0"
    assert told.span.status.status_code.name == "ERROR"


async def test_what_is_remembered_is_bounded(
    api: Api, server: ScriptedServer, told: Told, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_once, "_MAX_SEEN", 3)
    names = [f"{batch_id}_{number}" for number in range(10)]
    server.reply(*(finished(name) for name in [*names, *names[-3:]]))

    for name in [*names, *names[-3:]]:
        await api.call("batches.retrieve", name)

    assert len(_once._seen) == 3
    assert told.total("gen_ai.client.inference.usage.input_tokens") == 10 * 900


async def test_what_is_remembered_too_much_is_forgotten(
    api: Api, server: ScriptedServer, batch_id: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that make room at the same time may want to forget the same batch, and leave one more than there is."""
    names = [f"{batch_id}_{number}" for number in range(10)]
    server.reply(*map(finished, names))

    for name in names:
        monkeypatch.setattr(_once, "_MAX_SEEN", 3 if name == names[-1] else 10)
        await api.call("batches.retrieve", name)

    assert len(_once._seen) == 3
    assert len(told.spans) == 10


async def test_threads_count_a_batch_once(server: ScriptedServer, told: Told, batch_id: str) -> None:
    server.always(json_reply(finished(batch_id)))
    barrier = threading.Barrier(8)

    def look() -> None:
        with client("sync", server.base_url) as made:
            barrier.wait()
            made.batches.retrieve(batch_id)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told.spans) == 8
    assert told.total("gen_ai.client.inference.usage.input_tokens") == 900
