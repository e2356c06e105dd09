"""`cartwright models`: publish models, keep their repository."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fleet_control.errors import RegistryError
from fleet_control.registry.keys import ROLES, KeyFolder, read_passphrase
from fleet_control.registry.repository import ModelRepository, Thresholds
from fleet_control.registry.serve import RepositoryServer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options))
    except RegistryError as error:
        print(f"cartwright models: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cartwright models",
        description="Publish models to a TUF repository that carts trust.",
        epilog="Keys are encrypted where CARTWRIGHT_KEYS_PASSPHRASE_FILE names a file with a passphrase.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = _command(commands, "init", "make a repository and its keys", _init)
    init.add_argument("--root-keys", type=int, default=1, metavar="N", help="keys of the root (1)")
    init.add_argument("--root-threshold", type=int, default=1, metavar="N", help="of them that must sign (1)")
    init.add_argument("--targets-keys", type=int, default=1, metavar="N", help="keys that publish (1)")
    init.add_argument(
        "--targets-threshold", type=int, default=1, metavar="N", help="of them that must sign (1)"
    )
    publish = _command(commands, "publish", "check, sign and publish a model's folder", _publish)
    publish.add_argument("model", type=Path, metavar="DIR", help="folder with manifest.json")
    _command(commands, "list", "list what is published", _list, keys=False)
    for name, text, run in (
        ("republish", "sign a model anew, for a rollback to it", _republish),
        ("retire", "take a model out; refused while somebody pins it", _retire),
    ):
        _command(commands, name, text, run).add_argument("digest", metavar="DIGEST")
    _command(commands, "refresh", "renew the dates of snapshot and timestamp", _refresh)
    rotate = _command(commands, "rotate", "replace a key by a new one, signed by the root", _rotate)
    rotate.add_argument("role", choices=ROLES)
    serve = _command(commands, "serve", "serve the repository over HTTP", _serve, keys=False)
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=9104, help="0 picks a free one (default: %(default)s)")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    run: object,
    *,
    keys: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--repository", type=Path, required=True, metavar="DIR", help="its folder")
    if keys:
        parser.add_argument("--keys", type=Path, required=True, metavar="DIR", help="folder of private keys")
    parser.set_defaults(command=run)
    return parser


def _open(options: argparse.Namespace) -> ModelRepository:
    if "://" in str(options.repository) or ":/" in str(options.repository):
        raise RegistryError(f"{options.repository} is an address: --repository is the folder itself")
    keys = KeyFolder(getattr(options, "keys", Path("none")), read_passphrase())
    return ModelRepository(options.repository, keys)


def _init(options: argparse.Namespace) -> int:
    for name in ("root", "targets"):
        keys, threshold = getattr(options, f"{name}_keys"), getattr(options, f"{name}_threshold")
        if not 1 <= threshold <= keys:
            raise RegistryError(f"--{name}-threshold is 1 to the number of keys, {keys}, not {threshold}")
    repository = _open(options)
    repository.make(
        Thresholds(options.root_keys, options.root_threshold, options.targets_keys, options.targets_threshold)
    )
    print(f"made {options.repository}; give {repository.root} to carts and controllers, by a way of its own")
    print(f"take the files root-*.pem of {options.keys} offline now; targets-*.pem are needed to publish")
    return 0


def _publish(options: argparse.Namespace) -> int:
    entry = _open(options).publish(options.model)
    size = entry.size_bytes / 1e6
    print(f"published {entry.digest}: {entry.name} {entry.version}, {len(entry.files)} files, {size:.1f} MB")
    return 0


def _list(options: argparse.Namespace) -> int:
    repository = _open(options)
    pins, models = repository.pins(), repository.index().models
    if not models:
        print("nothing is published yet")
    for entry in reversed(models):
        when = datetime.fromtimestamp(entry.published_ms / 1000, UTC)
        pinned = f"  pinned by {', '.join(pins[entry.digest])}" if entry.digest in pins else ""
        size = f"{entry.size_bytes / 1e6:.1f} MB"
        print(
            f"{entry.digest}  {entry.name:<24} {entry.version:<12} {size:>10}  {when:%Y-%m-%d %H:%M}Z{pinned}"
        )
    return 0


def _republish(options: argparse.Namespace) -> int:
    entry = _open(options).republish(options.digest)
    print(f"signed anew: {entry.digest}, {entry.name} {entry.version}")
    return 0


def _retire(options: argparse.Namespace) -> int:
    _open(options).retire(options.digest)
    print(f"retired {options.digest}")
    return 0


def _refresh(options: argparse.Namespace) -> int:
    _open(options).refresh()
    print("renewed")
    return 0


def _rotate(options: argparse.Namespace) -> int:
    keyid = _open(options).rotate(options.role)
    print(f"{options.role} has the new key {keyid[:16]}; its file is in {options.keys}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = RepositoryServer(options.repository, options.host, options.port)
    print(f"READY {server.url}", flush=True)
    stopping.wait()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
