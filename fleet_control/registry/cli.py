"""`cartwright models`: publish models, and keep the keys and the metadata of their repository."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_control.errors import RegistryError
from fleet_control.registry.ceremony import KeyCount, initialise, rotate
from fleet_control.registry.keys import (
    ONLINE_PASSPHRASE_ENV,
    PASSPHRASE_ENV,
    ROLES,
    KeyRing,
    Role,
    read_passphrases,
)
from fleet_control.registry.model import read_model
from fleet_control.registry.pins import Pins
from fleet_control.registry.publisher import Expiry, Publisher
from fleet_control.registry.serve import RepositoryServer
from fleet_control.registry.settings import RegistrySettings
from fleet_control.registry.storage import FolderStorage
from fleet_control.rollouts.ports import PublishedModel

_EPILOG = f"""\
Keys are encrypted if {PASSPHRASE_ENV} (root and targets) or
{ONLINE_PASSPHRASE_ENV} (snapshot and timestamp) is set; with _FILE behind,
either names a file instead. docs/models_registry.md has it all step by step.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options) or 0)
    except RegistryError as error:
        print(f"cartwright models {options.action}: {error}", file=sys.stderr)
        return 1


def _init(options: argparse.Namespace) -> None:
    counts: dict[Role, KeyCount] = {
        "root": KeyCount(options.root_keys, options.root_threshold),
        "targets": KeyCount(options.targets_keys, options.targets_threshold),
        # On a machine that is online, more keys are stolen together.
        "snapshot": KeyCount(1, 1),
        "timestamp": KeyCount(1, 1),
    }
    settings = RegistrySettings(
        **{name: getattr(options, name) for name in RegistrySettings.__struct_fields__}
    )
    initialise(
        FolderStorage(options.repository),
        _ring(options),
        counts=counts,
        settings=settings,
    )
    keys = options.keys[0]
    print(f"an empty repository is in {options.repository}; its keys are in {keys}")
    print(f"carts need {keys / 'trusted-root.json'}; take {keys / 'root'} off this machine")


def _publish(options: argparse.Namespace) -> None:
    model = read_model(options.model)
    if not model.signed and not options.unsigned:
        raise RegistryError(
            f"{options.model} has no manifest.sig, which carts ask for; if yours do not: --unsigned"
        )
    _print_models((_publisher(options).publish(model),))


def _republish(options: argparse.Namespace) -> None:
    _print_models((_publisher(options).republish(options.digest),))


def _retire(options: argparse.Namespace) -> None:
    _publisher(options).retire(options.digest)
    print(f"{options.digest} is no longer in the repository")


def _list(options: argparse.Namespace) -> None:
    publisher = _publisher(options)
    pins = Pins(FolderStorage(options.repository))
    _print_models(publisher.models(), pins)
    _print_expiries(publisher.expiries())


def _refresh(options: argparse.Namespace) -> None:
    _print_expiries(_publisher(options).refresh(force=options.force))


def _rotate(options: argparse.Namespace) -> None:
    roles: list[Role] = options.roles if options.action == "rotate" else ["root"]
    counts: dict[Role, KeyCount] = {}
    if options.threshold is not None:
        count = KeyCount(options.key_count or options.threshold, options.threshold)
        counts = dict.fromkeys(roles, count)
    version = rotate(
        FolderStorage(options.repository), _ring(options), roles, counts=counts, lost=options.lost
    )
    aside = options.keys[0] / "retired"
    print(f"root {version} names new keys of {', '.join(roles)}; the old ones are in {aside}")


def _renew_root(options: argparse.Namespace) -> None:
    version = rotate(FolderStorage(options.repository), _ring(options), ())
    print(f"root {version} names the same keys and holds anew")


def _serve(options: argparse.Namespace) -> None:
    server = RepositoryServer(options.repository, options.host, options.port)
    print(f"READY {server.url}", flush=True)
    server.run()


def _ring(options: argparse.Namespace) -> KeyRing:
    return KeyRing(options.keys, read_passphrases(os.environ))


def _publisher(options: argparse.Namespace) -> Publisher:
    return Publisher(FolderStorage(options.repository), _ring(options))


def _print_models(models: Sequence[PublishedModel], pins: Pins | None = None) -> None:
    for model in models:
        held = ", ".join(pins.holders(model.digest)) if pins else ""
        note = f"  pinned by {held}" if held else ""
        print(f"{model.digest}  {model.name} {model.version}  {model.size_bytes / 1e6:.1f} MB{note}")


def _print_expiries(expiries: Sequence[Expiry]) -> None:
    for expiry in expiries:
        print(
            f"{expiry.role:<10} version {expiry.version:<4} holds until {expiry.expires:%Y-%m-%d %H:%M} UTC"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cartwright models",
        description="Publish models to a TUF repository from which carts fetch them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(
        name: str, run: Callable[[argparse.Namespace], None], purpose: str, *, positional: bool = False
    ) -> argparse.ArgumentParser:
        """Add an action; with `positional` the repository is its first argument."""
        added = actions.add_parser(name, help=purpose, description=purpose, epilog=_EPILOG)
        added.set_defaults(run=run)
        if positional:
            added.add_argument("repository", type=Path, metavar="DIR", help="folder of the repository")
        else:
            added.add_argument("--repository", type=Path, required=True, metavar="DIR", help="its folder")
        if name != "serve":
            added.add_argument(
                "--keys",
                type=Path,
                required=True,
                action="append",
                metavar="DIR",
                help="a folder of keys; may be repeated, new keys go into the first",
            )
        return added

    _add_init(action("init", _init, "begin a repository and make its keys", positional=True))
    publish = action("publish", _publish, "sign a model and publish all its files")
    publish.add_argument("model", type=Path, metavar="MODEL_DIR", help="its folder, with manifest.json")
    publish.add_argument("--unsigned", action="store_true", help="though it has no manifest.sig")
    for name, run, purpose in (
        ("republish", _republish, "publish new metadata for a model as it is: what a rollback goes to"),
        ("retire", _retire, "take a model away; refused while it is pinned"),
    ):
        action(name, run, purpose).add_argument("digest", metavar="DIGEST", help="of the model")
    action("list", _list, "show the models, who pins them, and until when the metadata holds")
    refresh = action(
        "refresh", _refresh, "renew the snapshot and the timestamp when half of their life is over"
    )
    refresh.add_argument("--force", action="store_true", help="renew them now")
    action("renew-root", _renew_root, "sign the root anew with the keys that it has, before it expires")
    for name, purpose in (("rotate-root", "give root new keys"), ("rotate", "give roles new keys")):
        rotation = action(name, _rotate, purpose)
        if name == "rotate":
            rotation.add_argument("roles", nargs="+", choices=ROLES, metavar="ROLE", help=", ".join(ROLES))
        rotation.add_argument("--threshold", type=int, help="how many must sign from now on")
        rotation.add_argument("--key-count", type=int, help="how many there are from now on")
        rotation.add_argument(
            "--lost", action="store_true", help="old keys of targets, snapshot or timestamp are gone"
        )
    serve = action("serve", _serve, "serve a repository over HTTP", positional=True)
    serve.add_argument("--host", default="127.0.0.1", help="to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8088, help="0 picks a free one (default: %(default)s)")
    return parser


def _add_init(parser: argparse.ArgumentParser) -> None:
    # Two keys of which one signs: a lost one can still be replaced.
    for role, keys in (("root", 2), ("targets", 1)):
        parser.add_argument(f"--{role}-keys", type=int, default=keys, help="how many (default: %(default)s)")
        parser.add_argument(
            f"--{role}-threshold", type=int, default=1, help="of which must sign (default: %(default)s)"
        )
    defaults = RegistrySettings()
    for role in ROLES:
        days = getattr(defaults, f"{role}_days")
        parser.add_argument(
            f"--{role}-days", type=float, default=days, help="its metadata holds (default: %(default)g)"
        )
