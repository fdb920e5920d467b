"""Which provider and server a call goes to. A proxy on loopback stands for the hosts of the world."""

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AzureOpenAI, DefaultHttpxClient, OpenAI

import otel_openai
from exported import otlp
from server import ScriptedServer, chat
from support import MESSAGES, Told

ASK: Any = {"model": "gpt-4o-mini", "messages": MESSAGES}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        running.always(chat())
        yield running


@pytest.fixture(scope="module")
def world(server: ScriptedServer) -> Iterator[DefaultHttpxClient]:
    """An HTTP client whose requests all end at the scripted server, whatever host they are for."""
    http: Any = DefaultHttpxClient(proxy=server.url)
    with http:
        yield http


@pytest.fixture
def ask(world: DefaultHttpxClient) -> Callable[..., None]:
    def ask(base_url: str) -> None:
        OpenAI(base_url=base_url, api_key="sk-test", http_client=world, max_retries=0).chat.completions.create(**ASK)

    return ask


def where(told: Told) -> tuple[Any, Any, Any]:
    """Provider, address and port of the last call, from its span; the metrics must say the same."""
    span = told.spans[-1]
    told.clear()
    attributes: dict[str, Any] = dict(span.attributes or {})
    keys = ("gen_ai.provider.name", "server.address", "server.port")
    place = tuple(attributes.get(key) for key in keys)
    durations = told.points("gen_ai.client.operation.duration")
    assert place in [tuple(point.get(key) for key in keys) for point, _ in durations]
    return place  # pyright: ignore[reportReturnType]


HOSTS = {
    "api.openai.com": "openai",
    "eu.api.openai.com": "openai",
    "my-resource.openai.azure.com": "azure.ai.openai",
    "my-resource.openai.azure.us": "azure.ai.openai",
    "my-resource.cognitiveservices.azure.com": "azure.ai.openai",
    "my-resource.services.ai.azure.com": "azure.ai.inference",
    "my-model.eastus2.models.ai.azure.com": "azure.ai.inference",
    "bedrock-runtime.us-east-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime.cn-north-1.amazonaws.com.cn": "aws.bedrock",
    "bedrock-runtime.eusc-de-east-1.amazonaws.eu": "aws.bedrock",
    "bedrock-mantle.eu-central-1.api.aws": "aws.bedrock",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.eu.mistral.ai": "mistral_ai",
    "codestral.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    "eu-west-1.api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "us-central1-aiplatform.googleapis.com": "gcp.vertex_ai",
    "aiplatform.eu.rep.googleapis.com": "gcp.vertex_ai",
    "us-south.ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.anthropic.com": "anthropic",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "openrouter.ai": "openrouter",
    "eu.openrouter.ai": "openrouter",
    "api.fireworks.ai": "fireworks_ai",
    # Others, however alike.
    "api.openai.com.example.net": "openai_compatible",
    "notapi.openai.com.evil.test": "openai_compatible",
    "xapi.groq.com": "openai_compatible",
    "vertex.example.com": "openai_compatible",
    "notaiplatform.googleapis.com": "openai_compatible",
    "bedrock-runtime.amazonaws.com": "openai_compatible",
    "my.bedrock-runtime.us-east-1.amazonaws.com": "openai_compatible",
    "mistral.ai.example.net": "openai_compatible",
    "openai.azure.com.example.net": "openai_compatible",
    "localhost": "openai_compatible",
    "203.0.113.7": "openai_compatible",
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_provider_is_known_by_its_host(ask: Callable[..., None], told: Told, host: str) -> None:
    ask(f"http://{host}/openai/v1/")

    assert where(told) == (HOSTS[host], host, 80)


URLS = {
    "http://example.com:8000/v1": ("openai_compatible", "example.com", 8000),
    "http://example.com:80/v1": ("openai_compatible", "example.com", 80),
    "http://API.OpenAI.com/v1": ("openai", "api.openai.com", 80),
    "http://localhost:11434/v1": ("ollama", "localhost", 11434),
    "http://[2001:db8::1]:8000/v1": ("openai_compatible", "2001:db8::1", 8000),
    "http://[::1]/v1": ("openai_compatible", "::1", 80),
    "http://user:secret@example.com/v1": ("openai_compatible", "example.com", 80),
    "http://bücher.example/v1": ("openai_compatible", "bücher.example", 80),
}


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_a_host_and_a_port(ask: Callable[..., None], told: Told, url: str) -> None:
    ask(url)

    assert where(told) == URLS[url]


def test_the_port_of_https_is_told(ask: Callable[..., None], told: Told) -> None:
    with pytest.raises(openai.APIConnectionError):  # the proxy makes no tunnels
        ask("https://api.groq.com/openai/v1")

    assert where(told) == ("groq", "api.groq.com", 443)


def test_nothing_else_of_a_url_leaves_the_process(ask: Callable[..., None], told: Told) -> None:
    ask("http://user:secret-1@example.com/secret-2/v1?key=secret-3")

    assert b"secret" not in otlp(told)
    assert b"example.com" in otlp(told)


# Clients.


def azure(kind: Any = AzureOpenAI, **options: Any) -> Any:
    return kind(api_key="key", api_version="2024-10-21", max_retries=0, **options)


def test_a_client_of_azure_is_azure_wherever_it_goes(server: ScriptedServer, told: Told) -> None:
    class Ours(AzureOpenAI):
        pass

    for kind in (AzureOpenAI, Ours):
        with azure(kind, azure_endpoint=server.url) as client:
            client.chat.completions.create(**ASK)

        assert told.spans[-1].name == "chat gpt-4o-mini"
        assert where(told) == ("azure.ai.openai", "127.0.0.1", server.port)
        assert server.last.path.startswith("/openai/deployments/gpt-4o-mini/")


async def test_an_async_client_of_azure_is_azure(server: ScriptedServer, told: Told) -> None:
    async with azure(AsyncAzureOpenAI, azure_endpoint=server.url, azure_deployment="ours") as client:
        await client.chat.completions.create(**ASK)

    assert where(told) == ("azure.ai.openai", "127.0.0.1", server.port)


def test_a_client_of_bedrock_is_bedrock(world: DefaultHttpxClient, told: Told) -> None:
    if not hasattr(openai, "BedrockOpenAI"):
        pytest.skip(f"openai {openai.__version__} has no BedrockOpenAI")
    kind: Any = openai.BedrockOpenAI
    client = kind(api_key="key", base_url="http://bedrock.example.com/v1", http_client=world, max_retries=0)

    client.chat.completions.create(**ASK)

    assert where(told) == ("aws.bedrock", "bedrock.example.com", 80)


@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_the_client_of_the_module_is_a_client(
    server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    azures = {"azure_endpoint": server.url, "api_version": "2024-10-21"}
    settings = {"base_url": f"{server.base_url}/"} if kind == "openai" else azures
    for name, value in {
        "_client": None,
        "http_client": None,
        "api_type": kind,
        "api_key": "sk",
        "max_retries": 0,
        **settings,
    }.items():
        monkeypatch.setattr(openai, name, value)
    provider = "openai_compatible" if kind == "openai" else "azure.ai.openai"

    openai.chat.completions.create(**ASK)
    assert where(told) == (provider, "127.0.0.1", server.port)

    monkeypatch.setattr(openai, "base_url", f"http://localhost:{server.port}/v1/")
    openai.chat.completions.create(**ASK)
    assert where(told) == (provider, "localhost", server.port)
    module: Any = openai
    module._client.close()


def test_a_client_that_moves_is_told_where_it_is(world: DefaultHttpxClient, told: Told) -> None:
    client = OpenAI(base_url="http://api.groq.com/openai/v1", api_key="k", http_client=world, max_retries=0)

    client.chat.completions.create(**ASK)
    assert where(told) == ("groq", "api.groq.com", 80)

    client.with_options(base_url="http://api.together.xyz/v1").chat.completions.create(**ASK)
    assert where(told) == ("together_ai", "api.together.xyz", 80)

    client.base_url = "http://example.com:8000/v1"
    client.chat.completions.create(**ASK)
    assert where(told) == ("openai_compatible", "example.com", 8000)


# Overrides.

OVERRIDES = {
    "llm.example.com": "vllm",
    ".example.com": "litellm",
    ".gpu.example.com": "sglang",
    "API.GROQ.COM": "groq-eu",
    "my.openai.azure.com": "ours",
}


@pytest.fixture
def overriding() -> Iterator[Told]:
    recorded = Told()
    recorded.instrument(providers=OVERRIDES)
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("llm.example.com", "vllm"),
        ("other.example.com", "litellm"),
        ("a.b.example.com", "litellm"),
        ("a.gpu.example.com", "sglang"),
        ("example.com", "openai_compatible"),
        ("badexample.com", "openai_compatible"),
        ("api.groq.com", "groq-eu"),
        ("api.mistral.ai", "mistral_ai"),
    ],
)
def test_an_app_names_its_hosts(ask: Callable[..., None], overriding: Told, host: str, provider: str) -> None:
    ask(f"http://{host}:8000/v1")

    assert where(overriding) == (provider, host, 8000)


def test_an_app_knows_better_than_the_class(world: DefaultHttpxClient, overriding: Told) -> None:
    client = azure(azure_endpoint="http://my.openai.azure.com", http_client=world)

    client.chat.completions.create(**ASK)

    assert where(overriding) == ("ours", "my.openai.azure.com", 80)
