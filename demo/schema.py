"""`cartwright schema TARGET`: create the warehouse's tables and views where they are missing."""

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Apply the schema to a warehouse; safe to repeat."""
    parser = argparse.ArgumentParser(
        prog="cartwright schema",
        description="Create the tables and views of a warehouse where they are missing.",
        epilog="examples:\n  cartwright schema my-project.cartwright\n"
        "  cartwright schema emulator://127.0.0.1:9050/cartwright-demo.cartwright",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", help="PROJECT.DATASET, or emulator://HOST:PORT/PROJECT.DATASET")
    target = parser.parse_args(argv).target
    from queries.client import open_warehouse  # noqa: PLC0415  # Google's client takes a second
    from queries.errors import QueriesError  # noqa: PLC0415
    from queries.schema import apply_schema  # noqa: PLC0415

    try:
        with open_warehouse(target) as warehouse:
            apply_schema(warehouse)
    except QueriesError as error:
        sys.stderr.write(f"cartwright schema: {error}\n")
        return 1
    sys.stdout.write(f"The schema of {target} is up to date.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
