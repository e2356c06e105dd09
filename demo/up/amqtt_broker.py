"""`python -m demo.up.amqtt_broker`: amqtt as a process of its own, on the loopback interface."""

import argparse
import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker

STOP_TIMEOUT_S = 5.0


def configuration(host: str, port: int) -> dict[str, object]:
    """Return amqtt's settings: anonymous, quiet, no $SYS chatter."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


async def serve(host: str, port: int) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    broker = Broker(configuration(host, port))
    await broker.start()
    sys.stdout.write(f"READY mqtt://{host}:{port}\n")
    sys.stdout.flush()
    await stopping.wait()
    await asyncio.wait_for(broker.shutdown(), STOP_TIMEOUT_S)


def main() -> None:
    """Read the address and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.up.amqtt_broker", description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
