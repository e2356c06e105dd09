"""Where the warehouse is: BigQuery in the cloud, or an endpoint that speaks like it.

Three ways to say it:

- `PROJECT.DATASET`: BigQuery, with the application default credentials;
- `PROJECT.DATASET` with `BIGQUERY_EMULATOR_HOST` set: that endpoint, without credentials;
- `emulator://HOST:PORT/PROJECT.DATASET?grpc=PORT`: the same, in one word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from queries.errors import ConfigurationError

# Google's own clients know the first one. No client of Google's reads an address for the write
# service, so the second name is ours.
REST_VARIABLE = "BIGQUERY_EMULATOR_HOST"
GRPC_VARIABLE = "BIGQUERY_STORAGE_EMULATOR_HOST"
DEFAULT_GRPC_PORT = 9060

# Project ids may have a domain before a colon ("example.com:shop"); datasets are words.
_NAMES = re.compile(
    r"(?P<project>[a-z0-9](?:[a-z0-9.:-]*[a-z0-9])?)\.(?P<dataset>[A-Za-z0-9_]{1,1024})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Target:
    """One dataset and how to reach it.

    Attributes:
        project: Project id.
        dataset: Dataset id.
        rest_url: `http://host:port` of an emulator; None for BigQuery itself.
        grpc_address: `host:port` of the emulator's write service; None for BigQuery itself.
        location: Where BigQuery creates the dataset, for example `EU`; None for its default.
    """

    project: str
    dataset: str
    rest_url: str | None = None
    grpc_address: str | None = None
    location: str | None = None

    @property
    def is_emulator(self) -> bool:
        """Tell whether this is an emulator: no credentials, no bill."""
        return self.rest_url is not None

    def table_path(self, table: str) -> str:
        """Return the name that the write service uses for a table."""
        return f"projects/{self.project}/datasets/{self.dataset}/tables/{table}"


def parse_target(text: str, environ: Mapping[str, str] | None = None) -> Target:
    """Read a target.

    Args:
        text: As in the module's docstring; `PROJECT.DATASET?location=EU` names a location.
        environ: Environment to read the emulator's address from; that of the process if None.

    Raises:
        ConfigurationError: the text is none of the three forms.
    """
    env = os.environ if environ is None else environ
    if text.startswith("emulator://"):
        return _emulator(text)
    names, _, query = text.partition("?")
    project, dataset = _names(names, text)
    rest_host = env.get(REST_VARIABLE)
    if not rest_host:
        return Target(project, dataset, location=_option(query, "location"))
    rest_url = rest_host if "://" in rest_host else f"http://{rest_host}"
    host = urlsplit(rest_url).hostname or "127.0.0.1"
    return Target(project, dataset, rest_url, env.get(GRPC_VARIABLE) or f"{host}:{DEFAULT_GRPC_PORT}")


def _emulator(text: str) -> Target:
    parts = urlsplit(text)
    try:
        host, port = parts.hostname, parts.port
        grpc_port = int(_option(parts.query, "grpc") or DEFAULT_GRPC_PORT)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a warehouse: {error}") from error
    if not host or not port:
        raise ConfigurationError(
            f"{text!r} is not a warehouse: expected emulator://HOST:PORT/PROJECT.DATASET"
        )
    project, dataset = _names(parts.path.lstrip("/"), text)
    shown = f"[{host}]" if ":" in host else host
    return Target(project, dataset, f"http://{shown}:{port}", f"{shown}:{grpc_port}")


def _names(text: str, whole: str) -> tuple[str, str]:
    match = _NAMES.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"{whole!r} is not a warehouse: expected PROJECT.DATASET or emulator://HOST:PORT/PROJECT.DATASET"
        )
    return match["project"], match["dataset"]


def _option(query: str, name: str) -> str | None:
    values = parse_qs(query).get(name)
    return values[0] if values else None
