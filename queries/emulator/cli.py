"""cartwright bigquery-emulator: the embedded BigQuery endpoint as a process."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from queries.emulator.database import DataDirectoryError
from queries.emulator.rest import build_app
from queries.emulator.service import Service
from queries.emulator.write_service import WriteService, serve

STOP_GRACE_S = 5.0  # how long requests under way may finish after SIGTERM


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    out = argparse.ArgumentParser(
        prog="cartwright bigquery-emulator",
        description="Serve the part of BigQuery that Google's own clients need from one DuckDB file.",
        epilog="Programs use it by setting BIGQUERY_EMULATOR_HOST=http://HOST:PORT.",
    )
    out.add_argument(
        "--data-dir", type=Path, required=True, help="folder of the warehouse file; made if missing"
    )
    out.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    out.add_argument("--port", type=int, default=9050, help="REST port; 0 picks a free one")
    out.add_argument("--grpc-port", type=int, default=9060, help="Storage Write port; 0 picks a free one")
    out.add_argument("--project", default="cartwright", help="project id that clients must name")
    out.add_argument("--memory-limit", default="2GB", help="memory DuckDB may take")
    out.add_argument(
        "--threads", type=int, default=None, help="threads DuckDB may use (default: one per core)"
    )
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 1 if it cannot start."""
    args = parser().parse_args(argv)
    try:
        listener = _listen(args.host, args.port)
    except OSError as error:
        return _fail(
            f"Cannot listen on {args.host}:{args.port}: {error.strerror or error}. Choose another --port."
        )
    try:
        service = Service.open(
            args.data_dir, args.project, memory_limit=args.memory_limit, threads=args.threads
        )
    except (DataDirectoryError, OSError) as error:
        listener.close()
        return _fail(f"{error}.")
    try:
        return _serve(service, listener, args)
    finally:
        service.close()


def _serve(service: Service, listener: socket.socket, args: argparse.Namespace) -> int:
    writes = WriteService(service.streams, lambda s: service.catalog.table(s.dataset, s.table).fields)
    grpc_server, grpc_port = serve(writes, f"{args.host}:{args.grpc_port}")
    if grpc_port == 0:
        listener.close()
        return _fail(
            f"Cannot listen on {args.host}:{args.grpc_port}: the port is in use. Choose another --grpc-port."
        )
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        build_app(service),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=120,
        timeout_graceful_shutdown=int(STOP_GRACE_S),
    )
    server = uvicorn.Server(config)
    stopping = threading.Event()

    def stop(*_: object) -> None:
        server.should_exit = True
        stopping.set()

    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined,unused-ignore]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True)
    thread.start()
    print(f"READY http://{args.host}:{port} grpc {args.host}:{grpc_port}", flush=True)
    while thread.is_alive() and not stopping.wait(0.5):
        pass
    server.should_exit = True
    grpc_server.stop(STOP_GRACE_S).wait(STOP_GRACE_S)
    thread.join(STOP_GRACE_S)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((host, port))
    listener.listen(256)
    return listener


def _fail(message: str) -> int:
    print(message, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
