"""Jobs, queries, results and uploads over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from queries.dialect.errors import DialectError
from queries.dialect.fields import Field
from queries.emulator.decoding import parameter_field, parameter_value
from queries.emulator.encoding import Format, encode_rows
from queries.emulator.errors import ApiError, InvalidError, NotImplementedApiError, as_api_error
from queries.emulator.jobs import Job
from queries.emulator.loading import load
from queries.emulator.outcome import Outcome, Request
from queries.emulator.results import arrow_page, has_rows
from queries.emulator.service import LOCATION, Service
from queries.emulator.uploads import split_multipart

if TYPE_CHECKING:
    from queries.emulator.rest import Incoming

PAGE_ROWS = 20_000  # rows of one answer when the client names no number
PAGE_BYTES = 20 * 1024 * 1024  # Arrow bytes behind one answer; more makes answers of 100 MB of JSON
DEFAULT_WAIT_S = 10.0  # how long jobs.query and getQueryResults wait when the client says nothing
MAX_WAIT_S = 200.0  # BigQuery's own limit of one wait
RESULTS = "_results"  # dataset that anonymous results claim to be in
UNSUPPORTED = {
    "connectionProperties": "Connection properties",
    "createSession": "Sessions",
    "tableDefinitions": "External tables",
    "userDefinedFunctionResources": "Functions in other resources",
    "scriptOptions": "Scripts",
}


class JobRoutes:
    """Answers the requests about jobs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._jobs = service.jobs

    def query(self, incoming: Incoming) -> Any:
        """jobs.query."""
        body = incoming.json()
        if body.get("useLegacySql", True) is not False:
            raise NotImplementedApiError(
                "Legacy SQL is not supported by the embedded BigQuery endpoint (set useLegacySql to false)"
            )
        form, arrow = (
            _form(body.get("formatOptions") or {}),
            str(body.get("queryResultsFormat") or "").upper() == "ARROW",
        )
        request = self._request(body)
        config = {k: body[k] for k in ("labels", "jobTimeoutMs", "dryRun") if k in body} | {
            "query": _query_config(body)
        }
        job = self._start(request, config, job_id=None, request_id=body.get("requestId"))
        wait = _seconds(body.get("timeoutMs"), DEFAULT_WAIT_S)
        if not self._jobs.wait(job, wait):
            return {
                "kind": "bigquery#queryResponse",
                "jobComplete": False,
                "jobReference": self._reference(job),
            }
        if job.error is not None:
            raise job.error
        answer = self._page(job, 0, _count(body.get("maxResults")), form, arrow=arrow)
        return answer | {"kind": "bigquery#queryResponse"}

    def _request(self, body: dict[str, Any]) -> Request:
        for key, name in UNSUPPORTED.items():
            if body.get(key):
                raise NotImplementedApiError(f"{name} are not supported by the embedded BigQuery endpoint")
        if not isinstance(body.get("query"), str) or not body["query"].strip():
            raise InvalidError("Required parameter is missing: query", reason="required")
        default = body.get("defaultDataset") or {}
        self._service.statements.check_project(default.get("projectId"))
        target = body.get("destinationTable") or {}
        self._service.statements.check_project(target.get("projectId"))
        limit = body.get("maximumBytesBilled")
        return Request(
            body["query"],
            _parameters(body),
            default.get("datasetId"),
            (str(target["datasetId"]), str(target["tableId"])) if target else None,
            str(body.get("writeDisposition") or "WRITE_EMPTY"),
            str(body.get("createDisposition") or "CREATE_IF_NEEDED"),
            dry_run=bool(body.get("dryRun")),
            max_bytes_billed=int(limit) if limit is not None else None,
            table_options={k: body[k] for k in ("timePartitioning", "clustering") if body.get(k)},
        )

    def _start(
        self, request: Request, config: dict[str, Any], *, job_id: str | None, request_id: str | None = None
    ) -> Job:
        if request.dry_run:
            job = Job(job_id or "dry_run", "QUERY", config, 1, started_ms=1, ended_ms=1, dry_run=True)
            job.outcome = self._service.statements.run(request)
            return job
        milliseconds = config.get("jobTimeoutMs")
        return self._jobs.start(
            "QUERY",
            config,
            lambda _: self._service.statements.run(request),
            job_id=job_id,
            request_id=request_id,
            timeout_s=int(milliseconds) / 1000 if milliseconds else None,
        )

    def insert(self, incoming: Incoming) -> Any:
        """jobs.insert."""
        body = incoming.json()
        config = dict(body.get("configuration") or {})
        kind = next((k for k in ("query", "load", "copy", "extract") if k in config), "")
        if kind == "load":
            raise NotImplementedApiError(
                "Loading from Cloud Storage is not supported by the embedded BigQuery endpoint: "
                "upload the file"
            )
        if kind == "copy":
            return self._copy(body, config)
        if kind != "query":
            raise NotImplementedApiError(
                f"Jobs of kind {kind or 'none'} are not supported by the embedded BigQuery endpoint"
            )
        inner = dict(config["query"])
        if inner.get("useLegacySql", True) is not False:
            raise NotImplementedApiError(
                "Legacy SQL is not supported by the embedded BigQuery endpoint (set useLegacySql to false)"
            )
        request = self._request(inner | {"dryRun": config.get("dryRun")})
        job = self._start(request, config, job_id=(body.get("jobReference") or {}).get("jobId"))
        return self.resource(job)

    def _copy(self, body: dict[str, Any], config: dict[str, Any]) -> Any:
        copy = config["copy"]
        sources = copy.get("sourceTables") or [copy.get("sourceTable") or {}]
        if len(sources) != 1 or copy.get("operationType") not in (None, "COPY", "OPERATION_TYPE_UNSPECIFIED"):
            raise NotImplementedApiError(
                "Only copies of one table are supported by the embedded BigQuery endpoint"
            )
        source, target = sources[0], copy.get("destinationTable") or {}
        entry = self._service.catalog.table(str(source.get("datasetId")), str(source.get("tableId")))
        request = Request(
            "",
            destination=(str(target.get("datasetId")), str(target.get("tableId"))),
            write_disposition=str(copy.get("writeDisposition") or "WRITE_EMPTY"),
            create_disposition=str(copy.get("createDisposition") or "CREATE_IF_NEEDED"),
            table_options={
                k: v
                for k, v in entry.body.items()
                if k in {"timePartitioning", "clustering", "requirePartitionFilter"}
            },
        )

        def work(_: Job) -> Outcome:
            runner = self._service.statements
            rows, _types = runner.database.query(f"SELECT * FROM {entry.relation}")  # noqa: S608
            with runner.database.write_lock:
                runner.append(
                    runner.destination(*(request.destination or ("", "")), entry.fields, request), rows
                )
            return Outcome("COPY", target=request.destination)

        job = self._jobs.start("COPY", config, work, job_id=(body.get("jobReference") or {}).get("jobId"))
        return self.resource(job)

    def resource(self, job: Job) -> dict[str, Any]:
        """Give a job as jobs.get does."""
        config = dict(job.config)
        if job.kind == "QUERY" and job.outcome is not None and "query" in config:
            target = job.outcome.target if job.outcome.kind == "SELECT" else None
            place = target or ((RESULTS, f"anon{job.job_id}") if has_rows(job.outcome) else None)
            if place is not None:
                table = {"projectId": self._service.project, "datasetId": place[0], "tableId": place[1]}
                config["query"] = {**config["query"], "destinationTable": table}
        return self._jobs.resource(job, config)

    def get(self, incoming: Incoming) -> Any:
        """jobs.get."""
        return self.resource(self._jobs.get(incoming.path["job"]))

    def list_jobs(self, incoming: Incoming) -> Any:
        """jobs.list."""
        wanted = incoming.query.get("stateFilter", "").lower()
        found = [self.resource(j) for j in self._jobs.recent()]
        found = [j for j in found if not wanted or j["status"]["state"].lower() == wanted]
        start, size = (
            int(incoming.query.get("pageToken") or 0),
            int(incoming.query.get("maxResults") or 50) or 50,
        )
        page = [j | {"state": j["status"]["state"]} for j in found[start : start + size]]
        answer: dict[str, Any] = {"kind": "bigquery#jobList", "jobs": page}
        return answer | {"nextPageToken": str(start + size)} if start + size < len(found) else answer

    def cancel(self, incoming: Incoming) -> Any:
        """jobs.cancel."""
        job = self._jobs.get(incoming.path["job"])
        if not job.done:
            self._jobs.cancel(job)
            self._jobs.wait(job, 1.0)
        return {"kind": "bigquery#jobCancelResponse", "job": self.resource(job)}

    def delete(self, incoming: Incoming) -> Any:
        """jobs.delete."""
        self._jobs.remove(incoming.path["job"])

    def results(self, incoming: Incoming) -> Any:
        """jobs.getQueryResults."""
        job = self._jobs.get(incoming.path["job"])
        if not self._jobs.wait(job, _seconds(incoming.query.get("timeoutMs"), DEFAULT_WAIT_S)):
            return {
                "kind": "bigquery#getQueryResultsResponse",
                "jobComplete": False,
                "jobReference": self._reference(job),
            }
        if job.error is not None:
            raise job.error
        start = int(incoming.query.get("pageToken") or incoming.query.get("startIndex") or 0)
        options = {k.split(".", 1)[1]: v for k, v in incoming.query.items() if k.startswith("formatOptions.")}
        return self._page(job, start, _count(incoming.query.get("maxResults")), _form(options)) | {
            "kind": "bigquery#getQueryResultsResponse"
        }

    def list_rows(self, incoming: Incoming) -> Any:
        """tabledata.list."""
        dataset, table = incoming.path["dataset"], incoming.path["table"]
        start = int(incoming.query.get("pageToken") or incoming.query.get("startIndex") or 0)
        size = _count(incoming.query.get("maxResults"))
        options = {k.split(".", 1)[1]: v for k, v in incoming.query.items() if k.startswith("formatOptions.")}
        if dataset == RESULTS:
            job = self._jobs.get(table.removeprefix("anon"))
            page = self._page(job, start, size, _form(options))
            found = {"rows": page.get("rows", []), "totalRows": page["totalRows"]}
            return found | ({"pageToken": page["pageToken"]} if "pageToken" in page else {})
        entry = self._service.catalog.table(dataset, table)
        if entry.is_view:
            raise InvalidError(f"Cannot list a table of type VIEW: {dataset}.{table}")
        wanted = [c for c in incoming.query.get("selectedFields", "").split(",") if c]
        fields = [f for f in entry.fields if not wanted or f.name.lower() in {w.lower() for w in wanted}]
        total = int(self._service.database.scalar(f"SELECT count(*) FROM {entry.relation}") or 0)  # noqa: S608
        count = min(size if size is not None else PAGE_ROWS, PAGE_ROWS)
        columns = ", ".join(f'"{f.name}"' for f in fields)
        sql = f"SELECT {columns} FROM {entry.relation} ORDER BY rowid LIMIT {count} OFFSET {start}"  # noqa: S608
        rows, _ = self._service.database.query(sql)
        answer: dict[str, Any] = {
            "kind": "bigquery#tableDataList",
            "etag": entry.etag,
            "totalRows": str(total),
            "rows": encode_rows(rows, fields, _form(options)),
        }
        return (
            answer | {"pageToken": str(start + rows.num_rows)}
            if start + rows.num_rows < total and rows.num_rows
            else answer
        )

    def _reference(self, job: Job) -> dict[str, str]:
        return {"projectId": self._service.project, "jobId": job.job_id, "location": LOCATION}

    def _page(
        self, job: Job, start: int, size: int | None, form: Format, *, arrow: bool = False
    ) -> dict[str, Any]:
        outcome = job.outcome
        if outcome is None:
            raise ApiError("The job has no result")
        answer: dict[str, Any] = {
            "jobReference": self._reference(job),
            "jobComplete": True,
            "cacheHit": False,
            "totalBytesProcessed": str(outcome.bytes_processed),
            "schema": {"fields": [f.to_api() for f in outcome.fields]}
            if outcome.fields and outcome.kind == "SELECT"
            else {"fields": []},
            "totalRows": "0",
            "location": LOCATION,
            "etag": job.job_id,
            "creationTime": str(job.created_ms),
            "startTime": str(job.started_ms),
            "endTime": str(job.ended_ms),
        }
        if outcome.affected is not None:
            answer["numDmlAffectedRows"] = str(outcome.affected)
            answer["dmlStats"] = {
                "insertedRowCount": str(outcome.inserted),
                "updatedRowCount": str(outcome.updated),
                "deletedRowCount": str(outcome.deleted),
            }
        if outcome.rows is None or outcome.kind != "SELECT":
            return answer
        total = outcome.rows.num_rows
        answer["totalRows"] = str(total)
        if arrow:
            return answer | arrow_page(outcome)
        if size == 0:
            return answer | ({"pageToken": str(start)} if start < total else {})
        page = outcome.rows.slice(start, min(size or PAGE_ROWS, PAGE_ROWS))
        while page.num_rows > 1 and page.nbytes > PAGE_BYTES:
            page = page.slice(0, max(page.num_rows // 2, 1))
        answer["rows"] = encode_rows(page, outcome.fields, form)
        return answer | {"pageToken": str(start + page.num_rows)} if start + page.num_rows < total else answer

    def upload(self, incoming: Incoming) -> Any:
        """Uploads of load jobs: multipart, or resumable in steps."""
        kind = incoming.query.get("uploadType", "")
        if incoming.query.get("upload_id"):
            return self._continue(incoming)
        if kind == "multipart":
            body, data = split_multipart(incoming.data, incoming.headers.get("content-type", ""))
            return self._load(body, self._service.uploads.store(data))
        if kind == "resumable":
            key = self._service.uploads.begin(incoming.json())
            path = (
                ""
                f"/upload/bigquery/v2/projects/{self._service.project}/jobs?uploadType=resumable&upload_id={key}"
            )
            return Response(
                b"{}",
                200,
                {"location": incoming.base + path, "x-guploader-uploadid": key},
                "application/json",
            )
        raise InvalidError(f"Unknown uploadType: {kind}")

    def _continue(self, incoming: Incoming) -> Any:
        key = incoming.query["upload_id"]
        upload, done = self._service.uploads.add(
            key, incoming.data, incoming.headers.get("content-range", "")
        )
        if done:
            return self._load(upload.body, upload.path)
        headers = {"range": f"bytes=0-{upload.size - 1}"} if upload.size else {}
        return Response(b"", 308, headers)

    def _load(self, body: dict[str, Any], path: Any) -> dict[str, Any]:
        config = dict(body.get("configuration") or {})
        if "load" not in config:
            raise InvalidError("An upload needs a load job")

        def work(_: Job) -> Outcome:
            try:
                with path.open("rb") as source:
                    return load(self._service.statements, config["load"], source)
            finally:
                path.unlink(missing_ok=True)

        job = self._jobs.start("LOAD", config, work, job_id=(body.get("jobReference") or {}).get("jobId"))
        return self.resource(job)


def _parameters(body: dict[str, Any]) -> dict[str, tuple[Field, Any]]:
    found: dict[str, tuple[Field, Any]] = {}
    for position, item in enumerate(body.get("queryParameters") or []):
        name = str(item.get("name") or position)
        try:
            field = parameter_field(name, item.get("parameterType"))
        except DialectError as error:
            raise as_api_error(error, str(body.get("query"))) from error
        found[name] = (field, parameter_value(field, item.get("parameterValue")))
    return found


def _query_config(body: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "query",
        "defaultDataset",
        "queryParameters",
        "parameterMode",
        "maximumBytesBilled",
        "useQueryCache",
    )
    return {"useLegacySql": False, "priority": "INTERACTIVE"} | {k: body[k] for k in keys if k in body}


def _form(options: dict[str, Any]) -> Format:
    output = str(options.get("timestampOutputFormat") or "").upper()
    if output not in {"", "TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED", "INT64", "FLOAT64"}:
        raise NotImplementedApiError(
            f"The timestamp format {output} is not supported by the embedded BigQuery endpoint"
        )
    return Format(output == "INT64" or str(options.get("useInt64Timestamp", "")).lower() == "true")


def _count(value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = int(value)
    if number < 0:
        raise InvalidError("maxResults must not be negative")
    return number


def _seconds(value: Any, default: float) -> float:
    return default if value is None or value == "" else min(max(int(value), 0) / 1000, MAX_WAIT_S)
