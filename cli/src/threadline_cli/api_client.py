"""The REST API from a terminal: one client, its pages, and its refusals as our errors. Nothing is printed here."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx
from threadline_runtime.errors import ConfigurationError

from threadline_cli.failures import NoAnswerError
from threadline_cli.output import JsonObject

__all__ = ["DEFAULT_URL", "ApiClient"]

DEFAULT_URL = "http://127.0.0.1:8080"
_PAGE = 100
_TIMEOUT_SECONDS = 30.0


class ApiClient:
    """Calls the API under one key. Raises ConfigurationError for a wrong address or key, NoAnswerError where the API refuses."""

    def __init__(self, url: str, api_key: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        if not api_key:
            raise ConfigurationError("no API key: give --api-key, or set THREADLINE_API_KEY (`threadline keys create` makes one)")
        self._url = url
        try:
            self._http = httpx.Client(
                base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=_TIMEOUT_SECONDS, transport=transport, trust_env=False
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ConfigurationError(f"--url or the API key cannot be used: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str) -> JsonObject:
        """One object."""
        return self._answer("GET", path)

    def post(self, path: str, body: Mapping[str, str | None], *, idempotency_key: str) -> JsonObject:
        """Ask for something once, however often the same key is sent."""
        sent = {name: value for name, value in body.items() if value is not None}
        return self._answer("POST", path, json=sent, headers={"Idempotency-Key": idempotency_key})

    def pages(self, path: str, query: Mapping[str, str | None], *, limit: int) -> Iterator[JsonObject]:
        """The items of a list, page after page, at most `limit`."""
        asked = {name: value for name, value in query.items() if value is not None}
        left = limit
        while left > 0:
            page = self._answer("GET", path, params=asked | {"limit": str(min(left, _PAGE))})
            items = page.get("items")
            for item in items if isinstance(items, list) else ():
                yield item
                left -= 1
            after = page.get("next")
            if not isinstance(after, str):
                return
            asked["after"] = after

    def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonObject:
        try:
            response = self._http.request(method, path, params=params, json=json, headers=headers)
        except httpx.UnsupportedProtocol:
            raise ConfigurationError(f"--url {self._url}: begin with http:// or https://") from None
        except httpx.TimeoutException:
            raise NoAnswerError(f"no answer from {self._url} within {_TIMEOUT_SECONDS:.0f} s") from None
        except httpx.TransportError as error:
            raise ConfigurationError(f"cannot reach {self._url} ({error}): is `threadline up` running there? (--url)") from None
        if response.is_error:
            raise _refusal(self._url, response)
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ConfigurationError(f"{self._url} does not answer like Threadline's API: check --url")
        return body


def _refusal(url: str, response: httpx.Response) -> ConfigurationError | NoAnswerError:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return ConfigurationError("the API key is not valid: check --api-key or THREADLINE_API_KEY")
    told = _problem(response)
    status = f"{response.status_code} {response.reason_phrase}"
    if told is None and response.is_client_error:
        return ConfigurationError(f"{url} does not answer like Threadline's API ({status}): check --url")
    if response.status_code == httpx.codes.FORBIDDEN:
        return ConfigurationError(f"this API key may not do that: {told}")
    return NoAnswerError(told or status)


def _problem(response: httpx.Response) -> str | None:
    """What a problem document says (RFC 9457); None where it is none."""
    try:
        problem = response.json()
    except ValueError:
        return None
    if not isinstance(problem, dict):
        return None
    said = [str(problem[name]) for name in ("title", "detail") if problem.get(name)]
    return ": ".join(said) or None
