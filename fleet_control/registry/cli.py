"""`cartwright models`: publish models, and keep the keys and the metadata of their repository."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from fleet_control.errors import RegistryError
from fleet_control.registry.ceremony import KeyCount, initialise, rotate
from fleet_control.registry.cli_parser import parser
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.makers import check_maker, claimed_maker
from fleet_control.registry.model import read_model
from fleet_control.registry.passphrases import read_passphrases
from fleet_control.registry.pins import Pins
from fleet_control.registry.publisher import Expiry, Publisher
from fleet_control.registry.serve import RepositoryServer
from fleet_control.registry.settings import RegistrySettings, Role
from fleet_control.registry.signed import utc_now
from fleet_control.registry.storage import FolderStorage, existing_repository
from fleet_control.rollouts.ports import PublishedModel

# As a shell has it of a command that SIGINT or SIGPIPE ended.
INTERRUPTED, READER_GONE = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(argv)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # Else Python complains when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # as with `list | head -1`
            return READER_GONE
        print(f"cartwright models {options.action}: {error.strerror or error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    """Do what was asked for, and say why it could not be done."""
    try:
        _ACTIONS[options.action](options)
    except RegistryError as error:
        print(f"cartwright models {options.action}: {error}", file=sys.stderr)
        return 1
    finally:
        sys.stdout.flush()
    return 0


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
    initialise(FolderStorage(options.repository), _ring(options), counts=counts, settings=settings)
    keys = options.keys[0]
    print(f"an empty repository is in {options.repository}; its keys are in {keys}")
    print(f"carts need {keys / 'trusted-root.json'}; take {keys / 'root'} off this machine")


def _publish(options: argparse.Namespace) -> None:
    model = read_model(options.model)
    if not model.signed and not options.unsigned:
        raise RegistryError(
            f"{options.model} has no manifest.sig, which carts ask for; if yours do not: --unsigned"
        )
    publisher = _publisher(options)
    if model.signed:
        _check_maker(options)
    _print_models((publisher.publish(model),))


def _check_maker(options: argparse.Namespace) -> None:
    if options.trusted_keys is not None:
        print(f"signed by {check_maker(options.model, options.trusted_keys)}")
        return
    maker = claimed_maker(options.model)
    print(
        f"manifest.sig names key {maker}; whether it fits the manifest was not checked: --trusted-keys DIR",
        file=sys.stderr,
    )


def _republish(options: argparse.Namespace) -> None:
    _print_models((_publisher(options).republish(options.digest),))


def _retire(options: argparse.Namespace) -> None:
    _publisher(options).retire(options.digest)
    print(f"{options.digest} is no longer in the repository")


def _list(options: argparse.Namespace) -> None:
    publisher = _publisher(options)
    pins = Pins(existing_repository(options.repository))
    _print_models(publisher.models(), pins)
    _print_expiries(publisher.expiries())


def _refresh(options: argparse.Namespace) -> None:
    _print_expiries(_publisher(options).refresh(force=options.force))


def _rotate(options: argparse.Namespace) -> None:
    roles: list[Role] = options.roles if options.action == "rotate" else ["root"]
    ring = _ring(options)
    version = rotate(
        existing_repository(options.repository),
        ring,
        roles,
        key_count=options.key_count,
        threshold=options.threshold,
        lost=options.lost,
    )
    _print_rotated(version, ring, roles)


def _print_rotated(version: int, ring: KeyRing, roles: Sequence[Role]) -> None:
    """Print what people must do with the keys: only they can."""
    print(f"root {version} names new keys of {', '.join(roles)}:")
    for path in (path for role in roles for path in ring.files(role)):
        print(f"  {path}")
    print("rotated out: destroy these, and those on other sticks, when the new root is served:")
    for path in (path for role in roles for path in ring.retired(role)):
        print(f"  {path}")
    if "root" in roles:
        print(
            "now move each new root key to a stick of its own, as STICK/root/<key id>.pem, off this machine"
        )
    if others := [role for role in roles if role != "root"]:
        print(f"now bring those of {', '.join(others)} to the machines that sign with them")


def _renew_root(options: argparse.Namespace) -> None:
    version = rotate(existing_repository(options.repository), _ring(options), ())
    print(f"root {version} names the same keys and holds anew")


def _serve(options: argparse.Namespace) -> None:
    server = RepositoryServer(options.repository, options.host, options.port)
    print(f"READY {server.url}", flush=True)
    server.run()


def _ring(options: argparse.Namespace) -> KeyRing:
    repository = options.repository.resolve()
    for folder in options.keys:
        keys = folder.resolve()
        if keys.is_relative_to(repository) or repository.is_relative_to(keys):
            raise RegistryError(f"{folder} and {options.repository}: keep keys apart from what is served")
    return KeyRing(options.keys, read_passphrases(os.environ))


def _publisher(options: argparse.Namespace) -> Publisher:
    return Publisher(existing_repository(options.repository), _ring(options))


def _print_models(models: Sequence[PublishedModel], pins: Pins | None = None) -> None:
    for model in models:
        held = ", ".join(pins.holders(model.digest)) if pins else ""
        note = f"  pinned by {held}" if held else ""
        print(f"{model.digest}  {model.name} {model.version}  {model.size_bytes / 1e6:.1f} MB{note}")


def _print_expiries(expiries: Sequence[Expiry]) -> None:
    """Print until when metadata holds; that some has expired is an error, for an alarm to see."""
    for expiry in expiries:
        print(
            f"{expiry.role:<10} version {expiry.version:<4} holds until {expiry.expires:%Y-%m-%d %H:%M} UTC"
        )
    expired = [expiry.role for expiry in expiries if expiry.expires <= utc_now()]
    if expired:
        raise RegistryError(f"{', '.join(expired)} expired, and carts take nothing until that is renewed")


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "init": _init,
    "publish": _publish,
    "republish": _republish,
    "retire": _retire,
    "list": _list,
    "refresh": _refresh,
    "renew-root": _renew_root,
    "rotate-root": _rotate,
    "rotate": _rotate,
    "serve": _serve,
}
