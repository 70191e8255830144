#!/bin/sh
# The tests of the JavaScript client; against a real server too.
#
#   run.sh [BINARY]     default: builds ./cmd/danmakud
#
# Where node is not installed it says so and succeeds.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

skip() {
	echo "skipped: $1"
	exit 0
}

command -v node >/dev/null 2>&1 || skip "node is not installed"
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' || skip "node $(node --version) is older than 20"

DANMAKUD=${1:-}
build=
if [ -z "$DANMAKUD" ]; then
	build=$(mktemp -d)
	trap 'rm -rf "$build"' EXIT
	DANMAKUD=$build/danmakud
	(cd "$root" && go build -o "$DANMAKUD" ./cmd/danmakud)
fi
export DANMAKUD

cd "$here"
# Node 20 and 21 have the global WebSocket behind a flag, later ones as it is.
flag=
node -e 'process.exit(typeof WebSocket === "undefined" ? 1 : 0)' || flag=--experimental-websocket
# shellcheck disable=SC2086 # no flag is no argument
node $flag --test --test-reporter=spec ./*.test.mjs
