"""What is in a body and told nowhere, each with the reason. What is neither told nor here fails a test."""

_TIME = "a measurement of the server's, not what the app is billed for"
_PART = "a part of a number that is told; no attribute has a name for it"
_SUM = "the sum of what is told"
_CONTENT = "content, or the place of something in it"
_OWN_ID = "an id of a part, not of the answer"
_REQUEST = "the request again"
_AGAIN = "told from its usual place"
_COST = "money: only where the app asks for it"
_FAILED = "told by `error.type`, the description and the HTTP status, as far as the value is harmless"

# Numbers, and strings that are ids, models, names, reasons, codes or tiers. `*` stands for any part of a path.
UNTOLD: dict[str, str] = {
    "created": _TIME,
    "*created_at": _TIME,
    "completed_at": _TIME,
    "timings.*": _TIME,
    "prompt_progress.*": _TIME,
    "*usage.queue_time": _TIME,
    "*usage.prompt_time": _TIME,
    "*usage.completion_time": _TIME,
    "*usage.total_time": _TIME,
    "usage.request_count": "one request is one span",
    "usage.service_tier": "Mistral's own tier, which is not one of a request",
    "*usage.total_tokens": _SUM,
    "usage.prompt_cache_miss_tokens": "the input less what was cached",
    "usage.completion_tokens_details.*_prediction_tokens": _PART,
    "usage.prompt_tokens_details.video_tokens": _PART,
    "usage.prompt_tokens_details.cache_creation_token_details.*": _PART,
    "*usage.output_tokens_details.tool_output_tokens": _PART,
    "usage.prompt_tokens_details.messages.*": _PART,
    "usage_breakdown.models.*": "the parts of a compound answer, whose sum is told",
    "usage.prompt_token_details.*": _AGAIN,
    "usage.server_tool_use.web_search_requests": "searches, not tokens",
    "usage.cost": _COST,
    "usage.cost_details.*": _COST,
    "x_groq.id": "the id of the request, which is told from its header",
    "x_groq.seed": "of the request, where Together has one of each choice",
    "user_id": "an id of a user",
    "choices.native_finish_reason": "the word of the provider behind OpenRouter; OpenRouter's own is told",
    "choices.stop_reason": "which stop sequence or token it was, beside the finish reason",
    "choices.matched_stop": "which stop token it was, beside the finish reason",
    "choices.content_filter_offsets.*": _CONTENT,
    "*.logprobs.*": _CONTENT,
    "*prompt_logprobs.*": _CONTENT,
    "*token_ids": _CONTENT,
    "choices.delta.token_id": _CONTENT,
    "choices.delta.index": "the index of the choice again",
    "*.annotations.*": _CONTENT,
    "*.executed_tools.*": "tools that the server has run by itself: they ask nothing of the app",
    "*.reasoning_details.*": _CONTENT,
    "*.tool_calls.id": _OWN_ID,
    "*.tool_calls.index": "the place of a call",
    "duration": "the length of the sound, which is not what is billed",
    "segments.*": _CONTENT,
    "words.*": _CONTENT,
    "progress": _TIME,
    "data.embedding": _CONTENT,
    "data.index": _CONTENT,
    "prompt_filter_results.prompt_index": _CONTENT,
    "*item_id": _OWN_ID,
    "*call_id": _OWN_ID,
    "item.id": _OWN_ID,
    "item.name": "told from the response at the end",
    "name": "told from the response at the end",
    "*output.id": _OWN_ID,
    "*tools.name": _REQUEST,
    "*temperature": _REQUEST,
    "*top_p": _REQUEST,
    "*_penalty": _REQUEST,
    "*max_output_tokens": _REQUEST,
    "sequence_number": "the place of an event",
    "*output_index": "the place of an event",
    "content_index": "the place of an event",
    "error.*": _FAILED,
    "choices.error.*": _FAILED,
    "message.detail.input.*": _FAILED,
    "code": _FAILED,
    "*status_code": _FAILED,
    "statusCode": _FAILED,
}

# Codes of errors that are not `error.type`, which is then the class of the exception.
UNTOLD_CODES: dict[str, str] = {
    "401": "the HTTP status",
    "429": "the HTTP status",
    "400": "the HTTP status",
    "1300": "Mistral's number for what the HTTP status says",
    "1500": "Mistral's number for what the HTTP status says",
    "invalid_request_error": "says less than the class of the exception",
}
