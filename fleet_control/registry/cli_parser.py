"""The arguments of `cartwright models`."""

import argparse
from pathlib import Path

from fleet_control.registry.passphrases import ONLINE_PASSPHRASE_ENV, PASSPHRASE_ENV
from fleet_control.registry.settings import ROLES, RegistrySettings

_EPILOG = f"""\
Keys are encrypted if {PASSPHRASE_ENV} (root and targets) or
{ONLINE_PASSPHRASE_ENV} (snapshot and timestamp) is set; with _FILE behind,
either names a file instead. docs/models_registry.md has it all step by step.
"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments; the action's name is in `action`."""
    whole = argparse.ArgumentParser(
        prog="cartwright models",
        description="Publish models to a TUF repository from which carts fetch them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = whole.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, purpose: str, *, positional: bool = False) -> argparse.ArgumentParser:
        """Add an action; with `positional` the repository is its first argument."""
        added = actions.add_parser(name, help=purpose, description=purpose, epilog=_EPILOG)
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

    _add_init(action("init", "begin a repository and make its keys", positional=True))
    publish = action("publish", "sign a model and publish all its files")
    publish.add_argument("model", type=Path, metavar="MODEL_DIR", help="its folder, with manifest.json")
    publish.add_argument("--unsigned", action="store_true", help="though it has no manifest.sig")
    publish.add_argument(
        "--trusted-keys",
        type=Path,
        metavar="DIR",
        help="check manifest.sig with the public keys that carts trust, *.pub",
    )
    for name, purpose in (
        ("republish", "publish new metadata for a model as it is: what a rollback goes to"),
        ("retire", "take a model away; refused while it is pinned"),
    ):
        action(name, purpose).add_argument("digest", metavar="DIGEST", help="of the model")
    action("list", "show the models, who pins them, and until when the metadata holds")
    refresh = action("refresh", "renew the snapshot and the timestamp when half of their life is over")
    refresh.add_argument("--force", action="store_true", help="renew them now")
    action("renew-root", "sign the root anew with the keys that it has, before it expires")
    for name, purpose in (("rotate-root", "give root new keys"), ("rotate", "give roles new keys")):
        rotation = action(name, purpose)
        if name == "rotate":
            rotation.add_argument("roles", nargs="+", choices=ROLES, metavar="ROLE", help=", ".join(ROLES))
        rotation.add_argument(
            "--threshold", type=int, help="how many must sign from now on (default: as before)"
        )
        rotation.add_argument(
            "--key-count", type=int, help="how many there are from now on (default: as before)"
        )
        rotation.add_argument(
            "--lost", action="store_true", help="old keys of targets, snapshot or timestamp are gone"
        )
    serve = action("serve", "serve a repository over HTTP", positional=True)
    serve.add_argument("--host", default="127.0.0.1", help="to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8088, help="0 picks a free one (default: %(default)s)")
    return whole


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
