"""Every name that leaves the process, once.

The constants of `opentelemetry-semantic-conventions` are not used: the GenAI ones are marked deprecated there and
vanish between releases. `docs/telemetry.md` carries the same names for people.
"""

from typing import Final

# The newest published schema that knows the metric names below.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"

# Known when the span starts, so that samplers can read them.
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OUTPUT_TYPE: Final = "gen_ai.output.type"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
API_TYPE: Final = "openai.api.type"
AGENT_ID: Final = "gen_ai.agent.id"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
RETRIEVAL_TOP_K: Final = "gen_ai.retrieval.top_k"

# Known when the answer is there.
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"

USAGE_INPUT: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_TEXT_INPUT: Final = "gen_ai.usage.text.input_tokens"
USAGE_TEXT_OUTPUT: Final = "gen_ai.usage.text.output_tokens"
USAGE_IMAGE_INPUT: Final = "gen_ai.usage.image.input_tokens"
USAGE_IMAGE_OUTPUT: Final = "gen_ai.usage.image.output_tokens"
USAGE_AUDIO_INPUT: Final = "gen_ai.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT: Final = "gen_ai.usage.audio.output_tokens"
USAGE_TEXT_CACHE_READ: Final = "gen_ai.usage.text.cache_read.input_tokens"
USAGE_IMAGE_CACHE_READ: Final = "gen_ai.usage.image.cache_read.input_tokens"
USAGE_AUDIO_CACHE_READ: Final = "gen_ai.usage.audio.cache_read.input_tokens"

# Our own names: the conventions have none for these.
TOOL_CALL_COUNT: Final = "otel_openai.tool_call.count"
TOOL_CALL_NAMES: Final = "otel_openai.tool_call.names"
USAGE_DURATION: Final = "otel_openai.usage.duration"
COST: Final = "otel_openai.cost"
STREAM_OUTCOME: Final = "otel_openai.stream.outcome"
STREAM_CHUNK_COUNT: Final = "otel_openai.stream.chunk.count"
STREAM_MAX_CHUNK_GAP: Final = "otel_openai.stream.max_chunk_gap"
SESSION_ID: Final = "otel_openai.session.id"
RESPONSE_SEEDS: Final = "otel_openai.response.seeds"

# HTTP facts and errors.
HTTP_STATUS_CODE: Final = "http.response.status_code"
HTTP_RESEND_COUNT: Final = "http.request.resend_count"
HTTP_RESPONSE_HEADER: Final = "http.response.header."
ERROR_TYPE: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EVENT_EXCEPTION: Final = "gen_ai.client.operation.exception"

# Content, opt-in.
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
RETRIEVAL_QUERY_TEXT: Final = "gen_ai.retrieval.query.text"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"
CONTENT_CUT: Final = "otel_openai.content.cut"
EVENT_DETAILS: Final = "gen_ai.client.inference.operation.details"

# Metrics.
METRIC_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a metric's name, no password
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
METRIC_TIME_PER_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"
METRIC_INFERENCE_USAGE: Final = "gen_ai.client.inference.usage."
METRIC_USAGE_DURATION: Final = "otel_openai.usage.duration"
METRIC_FINISH_REASONS: Final = "otel_openai.finish_reasons"
METRIC_TOOL_CALLS: Final = "otel_openai.tool_calls"
METRIC_RETRIES: Final = "otel_openai.retries"
METRIC_COST: Final = "otel_openai.cost"
METRIC_UNPRICED_CALLS: Final = "otel_openai.unpriced_calls"
METRIC_STREAMS: Final = "otel_openai.streams"
METRIC_ACTIVE_REQUESTS: Final = "otel_openai.active_requests"
METRIC_RATELIMIT_REMAINING: Final = "otel_openai.ratelimit.remaining"

TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - an attribute's name, no password
TOOL_NAME: Final = "gen_ai.tool.name"
FINISH_REASON: Final = "otel_openai.finish_reason"
RATELIMIT_KIND: Final = "otel_openai.ratelimit.kind"

SECONDS_BUCKETS: Final = tuple(0.01 * 2**power for power in range(14))
TOKENS_BUCKETS: Final = tuple(4**power for power in range(14))

# Values.
OTHER: Final = "other"
FINISH_ERROR: Final = "error"  # stands where a finish reason was due and never came
