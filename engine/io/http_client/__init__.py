"""The one HTTP client for what users ask us to call: it never reaches a private address."""

from engine.io.http_client.client import HttpClient, Response, current, without_secrets
from engine.io.http_client.gate import Gate, is_public

__all__ = ["Gate", "HttpClient", "Response", "current", "is_public", "without_secrets"]
