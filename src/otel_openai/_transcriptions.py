"""What a Realtime connection transcribes of its input: by a model that is billed apart from the responses."""

from time import perf_counter
from typing import Any

from opentelemetry.context import Context

from otel_openai import _semconv as names
from otel_openai._call import Call
from otel_openai._open_responses import MAX_OPEN, SessionFacts
from otel_openai._providers import Server
from otel_openai._telemetry import Telemetry
from otel_openai._values import fields, text
from otel_openai.operations.realtime import REALTIME_TRANSCRIPTION


class Transcriptions:
    """Those of one connection. Nobody asks for any of them, and each is told when it is there."""

    __slots__ = ("_context", "_heard", "_model", "_server", "_session")

    def __init__(self, server: Server, context: Context, session: SessionFacts) -> None:
        self._server = server
        self._context = context
        self._session = session
        self._heard: dict[str, float] = {}  # `perf_counter`, seconds, by the id of the item
        self._model: str | None = None

    def configured(self, session: dict[str, Any]) -> None:
        """The server tells of the session."""
        said = fields(fields(session.get("audio")).get("input")) or session
        asked = said.get("transcription") or said.get("input_audio_transcription")  # the latter in the beta
        self._model = text(fields(asked).get("model"))

    def heard(self, item: str | None) -> None:
        """The user has said something; if it is transcribed, it is from the first time on that this is told."""
        if item is not None and item not in self._heard:
            self._heard[item] = perf_counter()
            if len(self._heard) > MAX_OPEN:
                del self._heard[next(iter(self._heard))]

    def ended(self, telemetry: Telemetry, event: Any, item: str | None) -> None:
        """It is transcribed, or that has failed."""
        params = {} if self._model is None else {"model": self._model}
        started = None if item is None else self._heard.pop(item, None)
        call = Call(telemetry, REALTIME_TRANSCRIPTION, self._server, params, context=self._context, started=started)
        try:
            call.respond(event)
        finally:
            outcome = call.read(event)
            if outcome is not None and self._session.identity is not None:
                outcome.attributes[names.SESSION_ID] = self._session.identity
            call.end(outcome)
