"""Keys and signatures of models.

``python -m training.sign keygen --keys fleet_agent/models/keys --private KEY.pem`` draws a pair: the public
key goes into the folder of trusted keys as ``cartwright-demo.pub``, in place of the one before; the private
one must stay out of the repository and off every cart.
``python -m training.sign sign --key KEY.pem fleet_agent/models/v*`` signs models, again if need be.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from fleet_agent.activation.signing import generate_key, sign_manifest, write_public_key

log = structlog.get_logger()

# Name of the shipped models' public key in the folder of trusted keys.
PUBLIC_NAME = "cartwright-demo.pub"


def keygen(keys: Path, private: Path) -> Path:
    """Draw a pair of keys and return the file of the public one.

    Args:
        keys: Folder of trusted keys.
        private: File to write, readable by its owner only.

    Raises:
        FileExistsError: There is a private key already; it is not overwritten.
    """
    pair = generate_key()
    private.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pair.private_pem)
    return write_public_key(keys, pair.public).replace(keys / PUBLIC_NAME)


def sign(folders: Sequence[Path], private: Path) -> None:
    """Sign the manifests of models.

    Args:
        folders: Of the models.
        private: File of the private key.

    Raises:
        SignatureError: A manifest cannot be read, or the key is none.
    """
    for folder in folders:
        log.info("signed", model=folder.name, key=sign_manifest(folder, private.read_bytes()))


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.sign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("keygen")
    one.add_argument("--keys", type=Path, required=True, help="folder of trusted public keys")
    one.add_argument("--private", type=Path, required=True, help="file for the private key, outside the tree")
    other = commands.add_parser("sign")
    other.add_argument("--key", type=Path, required=True, help="file of the private key")
    other.add_argument("folders", type=Path, nargs="+", help="folders of models")
    arguments = parser.parse_args(argv)
    if arguments.command == "keygen":
        log.info("key drawn", public=str(keygen(arguments.keys, arguments.private)))
    else:
        sign(arguments.folders, arguments.key)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
