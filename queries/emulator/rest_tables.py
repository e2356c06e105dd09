"""Datasets, tables and insertAll over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queries.emulator import ddl
from queries.emulator.catalog import Entry
from queries.emulator.errors import InvalidError, NotImplementedApiError, PreconditionError, as_api_error
from queries.emulator.inserts import insert_all
from queries.emulator.outcome import Request
from queries.emulator.service import LOCATION, Service

if TYPE_CHECKING:
    from queries.emulator.rest import Incoming

DATASET_KEYS = {
    "friendlyName",
    "description",
    "labels",
    "defaultTableExpirationMs",
    "defaultPartitionExpirationMs",
    "access",
    "location",
    "isCaseInsensitive",
    "storageBillingModel",
    "maxTimeTravelHours",
    "defaultCollation",
    "defaultRoundingMode",
    "resourceTags",
}
TABLE_KEYS = {
    "friendlyName",
    "description",
    "labels",
    "schema",
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "requirePartitionFilter",
    "expirationTime",
    "view",
    "defaultCollation",
    "resourceTags",
    "maxStaleness",
}
REFUSED = {
    "materializedView",
    "externalDataConfiguration",
    "encryptionConfiguration",
    "cloneDefinition",
    "snapshotDefinition",
    "tableConstraints",
}
PAGE = 1000  # datasets or tables in one answer when the client names no number


class TableRoutes:
    """Answers the requests about datasets and tables."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._catalog = service.catalog

    def projects(self, _: Incoming) -> Any:
        """projects.list."""
        p = self._service.project
        return {
            "kind": "bigquery#projectList",
            "totalItems": 1,
            "projects": [{"id": p, "projectReference": {"projectId": p}, "friendlyName": p}],
        }

    def service_account(self, _: Incoming) -> Any:
        """projects.getServiceAccount."""
        return {"kind": "bigquery#getServiceAccountResponse", "email": "emulator@localhost"}

    def create_dataset(self, incoming: Incoming) -> Any:
        """datasets.insert."""
        body = incoming.json()
        name = str((body.get("datasetReference") or {}).get("datasetId") or "")
        return self._dataset(self._catalog.create_dataset(name, _kept(body, DATASET_KEYS)))

    def list_datasets(self, incoming: Incoming) -> Any:
        """datasets.list."""
        page, token = _page(self._catalog.datasets(), incoming)
        items = [
            {
                "kind": "bigquery#dataset",
                "id": f"{self._service.project}:{e.dataset}",
                "datasetReference": self._reference(e),
                "location": LOCATION,
                "labels": e.body.get("labels", {}),
            }
            for e in page
        ]
        return {"kind": "bigquery#datasetList", "datasets": items} | token

    def get_dataset(self, incoming: Incoming) -> Any:
        """datasets.get."""
        return self._dataset(self._catalog.dataset(incoming.path["dataset"]))

    def patch_dataset(self, incoming: Incoming) -> Any:
        """datasets.patch and datasets.update."""
        entry = self._catalog.dataset(incoming.path["dataset"])
        _match(entry, incoming)
        return self._dataset(
            self._catalog.update(entry, _patched(entry.body, _kept(incoming.json(), DATASET_KEYS)))
        )

    def delete_dataset(self, incoming: Incoming) -> Any:
        """datasets.delete."""
        self._catalog.delete_dataset(
            incoming.path["dataset"], contents=incoming.query.get("deleteContents", "").lower() == "true"
        )

    def create_table(self, incoming: Incoming) -> Any:
        """tables.insert."""
        body = incoming.json()
        reference = body.get("tableReference") or {}
        if str(reference.get("datasetId") or incoming.path["dataset"]) != incoming.path["dataset"]:
            raise InvalidError("The dataset of the table reference is not the one of the address")
        kept = _kept(body, TABLE_KEYS)
        if "view" in kept:
            kept = self._view(kept, incoming.path["dataset"])
        if not kept.get("schema") and "view" not in kept:
            raise NotImplementedApiError(
                "A table without columns is not supported by the embedded BigQuery endpoint"
            )
        return self._table(
            self._catalog.create_table(incoming.path["dataset"], str(reference.get("tableId") or ""), kept)
        )

    def _view(self, body: dict[str, Any], dataset: str) -> dict[str, Any]:
        view = body["view"] or {}
        if view.get("useLegacySql", True) is True:
            raise NotImplementedApiError(
                "Legacy SQL is not supported by the embedded BigQuery endpoint (set use_legacy_sql to False)"
            )
        try:
            fields = ddl.view_fields(
                self._service.statements, Request(str(view.get("query") or ""), default_dataset=dataset)
            )
        except Exception as error:
            raise as_api_error(error, str(view.get("query"))) from error
        return body | {"schema": {"fields": [f.to_api() for f in fields]}}

    def list_tables(self, incoming: Incoming) -> Any:
        """tables.list."""
        everything = self._catalog.tables(incoming.path["dataset"])
        page, token = _page(everything, incoming)
        items = []
        for entry in page:
            item = {
                "kind": "bigquery#table",
                "id": f"{self._service.project}:{entry.dataset}.{entry.name}",
                "tableReference": self._reference(entry),
            }
            item |= {
                "type": _type(entry),
                "creationTime": str(entry.created_ms),
                "labels": entry.body.get("labels", {}),
            }
            item |= {
                k: entry.body[k]
                for k in ("timePartitioning", "clustering", "view", "friendlyName")
                if k in entry.body
            }
            items.append(item)
        return {"kind": "bigquery#tableList", "tables": items, "totalItems": len(everything)} | token

    def get_table(self, incoming: Incoming) -> Any:
        """tables.get."""
        found = self._service.jobs.recent() if incoming.path["dataset"] == "_results" else []
        for job in found:
            if f"anon{job.job_id}" == incoming.path["table"] and job.outcome is not None:
                schema = {"fields": [f.to_api() for f in job.outcome.fields]}
                rows = job.outcome.rows.num_rows if job.outcome.rows is not None else 0
                return {
                    "kind": "bigquery#table",
                    "etag": job.job_id,
                    "type": "TABLE",
                    "schema": schema,
                    "numRows": str(rows),
                    "location": LOCATION,
                    "tableReference": {
                        "projectId": self._service.project,
                        "datasetId": "_results",
                        "tableId": incoming.path["table"],
                    },
                }
        return self._table(self._catalog.table(incoming.path["dataset"], incoming.path["table"]))

    def patch_table(self, incoming: Incoming) -> Any:
        """tables.patch and tables.update."""
        entry = self._catalog.table(incoming.path["dataset"], incoming.path["table"])
        _match(entry, incoming)
        change = _kept(incoming.json(), TABLE_KEYS)
        for key in ("timePartitioning", "clustering"):
            if key in change and _bare(change[key]) != _bare(entry.body.get(key)):
                raise NotImplementedApiError(
                    f"Changing {key} of a table is not supported by the embedded BigQuery endpoint"
                )
        body = _patched(entry.body, change)
        if entry.is_view and "view" in change:
            body = self._view(body, entry.dataset)
        return self._table(self._catalog.update(entry, body))

    def delete_table(self, incoming: Incoming) -> Any:
        """tables.delete."""
        self._catalog.delete_table(incoming.path["dataset"], incoming.path["table"])

    def insert_all(self, incoming: Incoming) -> Any:
        """tabledata.insertAll."""
        return insert_all(
            self._service.statements,
            self._service.inserts,
            incoming.path["dataset"],
            incoming.path["table"],
            incoming.json(),
        )

    def _reference(self, entry: Entry) -> dict[str, str]:
        out = {"projectId": self._service.project, "datasetId": entry.dataset}
        return out | {"tableId": entry.name} if entry.name else out

    def _dataset(self, entry: Entry) -> dict[str, Any]:
        p = self._service.project
        return {
            "kind": "bigquery#dataset",
            "etag": entry.etag,
            "id": f"{p}:{entry.dataset}",
            "selfLink": "",
            "location": LOCATION,
            "access": [],
            "type": "DEFAULT",
            **entry.body,
            "datasetReference": self._reference(entry),
            "creationTime": str(entry.created_ms),
            "lastModifiedTime": str(entry.modified_ms),
        }

    def _table(self, entry: Entry) -> dict[str, Any]:
        p = self._service.project
        rows, size = (0, 0) if entry.is_view else self._service.statements.sizes.of_table(entry.info())
        return {
            "kind": "bigquery#table",
            "etag": entry.etag,
            "id": f"{p}:{entry.dataset}.{entry.name}",
            "selfLink": "",
            **entry.body,
            "tableReference": self._reference(entry),
            "type": _type(entry),
            "location": LOCATION,
            "creationTime": str(entry.created_ms),
            "lastModifiedTime": str(entry.modified_ms),
            "numRows": str(rows),
            "numBytes": str(size),
            "numLongTermBytes": "0",
        }


def _kept(body: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    refused = [k for k in body if k in REFUSED and body[k]]
    if refused:
        raise NotImplementedApiError(f"{refused[0]} is not supported by the embedded BigQuery endpoint")
    return {k: v for k, v in body.items() if (k in keys and v is not None) or (k in keys and k in body)}


def _bare(value: Any) -> Any:
    return (
        {k: str(v) for k, v in value.items() if v not in (None, False)}
        if isinstance(value, dict)
        else value or None
    )


def _patched(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = {**old, **change}
    if isinstance(change.get("labels"), dict):
        merged["labels"] = {
            k: v for k, v in {**old.get("labels", {}), **change["labels"]}.items() if v is not None
        }
    return {k: v for k, v in merged.items() if v is not None}


def _match(entry: Entry, incoming: Incoming) -> None:
    wanted = incoming.headers.get("if-match")
    if wanted and wanted not in {"*", entry.etag}:
        raise PreconditionError("Precondition check failed.")


def _type(entry: Entry) -> str:
    return "VIEW" if entry.is_view else "TABLE"


def _page(entries: list[Entry], incoming: Incoming) -> tuple[list[Entry], dict[str, str]]:
    start = int(incoming.query.get("pageToken") or 0)
    size = int(incoming.query.get("maxResults") or PAGE) or PAGE
    page = entries[start : start + size]
    return page, {"nextPageToken": str(start + size)} if start + size < len(entries) else {}
