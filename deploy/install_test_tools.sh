#!/bin/sh
# Install the system tools that tests use, where apt may; elsewhere the tests name what they lack.
set -eu
PATH=$PATH:/usr/sbin

missing=
command -v mosquitto >/dev/null || missing="$missing mosquitto"
command -v promtool >/dev/null || missing="$missing prometheus"
command -v chromium >/dev/null || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || command -v pg_ctl >/dev/null || missing="$missing postgresql"
[ -n "$missing" ] || exit 0

run=
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then run=sudo; else
        echo "cartwright: tests that need$missing will say so (no right to install packages)"
        exit 0
    fi
fi
if ! command -v apt-get >/dev/null; then
    echo "cartwright: tests that need$missing will say so (no apt-get here)"
    exit 0
fi
echo "cartwright: installing$missing"
$run apt-get update -qq
# A daemon that apt starts by itself would hold the default ports: tests start their own.
# shellcheck disable=SC2086
$run env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "cartwright: apt-get could not install$missing; the tests that need them will say so"
