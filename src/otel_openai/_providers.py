"""Which provider and server a client talks to: `gen_ai.provider.name`, `server.address` and `server.port`.

A provider is told by an override of the user's, by the client's class, then by the host. An unknown host is
`openai_compatible`: calling it `openai` would hide the truth. Only the host leaves the process, never the path, the
query or the user information of a URL.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from otel_openai._values import integer, text

UNKNOWN = "openai_compatible"

# A key that begins with a dot matches every host below it. First match wins.
_HOSTS: Mapping[str, str] = {
    "api.openai.com": "openai",
    ".api.openai.com": "openai",
    ".openai.azure.com": "azure.ai.openai",
    ".openai.azure.us": "azure.ai.openai",
    ".cognitiveservices.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
    ".models.ai.azure.com": "azure.ai.inference",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    ".mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    ".api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "generativelanguage.googleapis.com": "gcp.gemini",
    ".ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.anthropic.com": "anthropic",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "openrouter.ai": "openrouter",
    ".openrouter.ai": "openrouter",
    "api.fireworks.ai": "fireworks_ai",
}
# Hosts with a region in their name.
_REGIONAL: Mapping[re.Pattern[str], str] = {
    re.compile(
        r"bedrock-(mantle|runtime|runtime-fips)\.[a-z0-9-]+\.(amazonaws\.(com|com\.cn|eu)|api\.aws)"
    ): "aws.bedrock",
    re.compile(r"([a-z0-9-]+-)?aiplatform(\.[a-z]+\.rep)?\.googleapis\.com"): "gcp.vertex_ai",
}
_CLASSES: Mapping[str, str] = {"AzureOpenAI": "azure.ai.openai", "BedrockOpenAI": "aws.bedrock"}
_DEFAULT_PORTS: Mapping[str, int] = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_OLLAMA_PORT = 11434


class Server(NamedTuple):
    """Where requests go."""

    provider: str
    address: str | None
    port: int | None


class Servers:
    """The servers of the living clients, remembered until a client's `base_url` changes."""

    def __init__(self, overrides: Mapping[str, str]) -> None:
        self._overrides = {host.lower(): provider for host, provider in overrides.items()}
        self._known: WeakKeyDictionary[Any, tuple[object, Server]] = WeakKeyDictionary()

    def of(self, client: Any) -> Server:
        """The server of a client."""
        kept = getattr(client, "_base_url", None)  # what `base_url` returns, which takes its time
        try:
            known = self._known.get(client)
        except TypeError:  # a subclass without a hash
            return self._look(client)
        if known is not None and known[0] is kept:
            return known[1]
        server = self._look(client)
        if not type(client).__name__.endswith("ModuleClient"):  # its `base_url` is a variable of the module `openai`
            self._known[client] = (kept, server)
        return server

    def of_websocket(self, client: Any) -> Server:
        """The server that a client opens WebSockets to."""
        kept = getattr(client, "websocket_base_url", None)
        if kept is None:
            return self.of(client)
        url = urlsplit(str(kept))
        address = text(url.hostname)
        port = url.port or _DEFAULT_PORTS.get(url.scheme)
        return Server(self._provider(client, address or "", port), address, port if address else None)

    def _look(self, client: Any) -> Server:
        url = getattr(client, "base_url", None)
        address = text(getattr(url, "host", None))
        port = integer(getattr(url, "port", None)) or _DEFAULT_PORTS.get(getattr(url, "scheme", ""))
        return Server(self._provider(client, address or "", port), address, port if address else None)

    def _provider(self, client: Any, host: str, port: int | None) -> str:
        host = host.lower()
        if override := match(host, self._overrides):
            return override
        runtime = text(getattr(getattr(client, "_provider_runtime", None), "name", None))
        if runtime is not None:
            return "aws.bedrock" if runtime == "bedrock" else runtime
        for base in type(client).__mro__:
            if provider := _CLASSES.get(base.__name__.removeprefix("Async")):
                return provider
        if found := match(host, _HOSTS):
            return found
        for pattern, provider in _REGIONAL.items():
            if pattern.fullmatch(host):
                return provider
        return "ollama" if port == _OLLAMA_PORT else UNKNOWN


def match(host: str, table: Mapping[str, str]) -> str | None:
    """The entry of a host, or of the nearest parent domain whose key begins with a dot."""
    return next((table[key] for key in keys(host) if key in table), None)


def keys(host: str) -> Iterator[str]:
    """What a user may have written for a host: itself, then its parent domains, each with a dot before it."""
    yield host
    labels = host.split(".")
    for first in range(1, len(labels)):
        yield "." + ".".join(labels[first:])
