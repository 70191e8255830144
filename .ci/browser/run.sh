#!/bin/sh
# Both pages in a real browser: the lanes and the back-off as arithmetic (node
# --test), then headless Chromium against a real danmakud, and the operators' page
# against a control listener that says anything.
#
#   run.sh [BINARY | HOST:PORT]     default: builds ./cmd/danmakud
#   run.sh --players [BINARY]       instead: other people's players, clients/players
#
# CHROMIUM names the browser; OUT the folder for pictures (default out/browser).
# Where node or a browser is not installed it says so and succeeds.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

skip() {
	echo "skipped: $1"
	exit 0
}

command -v node >/dev/null 2>&1 || skip "node is not installed"
command -v npm >/dev/null 2>&1 || skip "npm is not installed"
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' || skip "node $(node --version) is older than 20"

if [ -z "${CHROMIUM:-}" ]; then
	for name in chromium chromium-browser google-chrome-stable google-chrome; do
		if CHROMIUM=$(command -v "$name"); then break; fi
	done
fi
[ -n "${CHROMIUM:-}" ] || skip "no Chromium is installed (set CHROMIUM to its path)"
[ -x "$CHROMIUM" ] || skip "$CHROMIUM is not there or not executable"
export CHROMIUM

players=
if [ "${1:-}" = --players ]; then
	players=yes
	shift
fi
target=${1:-}
build=
if [ -z "$target" ]; then
	build=$(mktemp -d)
	trap 'rm -rf "$build"' EXIT
	target=$build/danmakud
	(cd "$root" && go build -o "$target" ./cmd/danmakud)
fi
case $target in
	*/*) target=$(cd "$(dirname "$target")" && pwd)/$(basename "$target") ;;
esac

# npm writes down what it installed; when that is no older than the lock, the
# packages are the locked ones.
install() {
	cd "$1"
	installed=node_modules/.package-lock.json
	if [ ! -e $installed ] || [ -n "$(find package-lock.json -newer $installed)" ]; then
		npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
		touch $installed
	fi
}

export OUT="${OUT:-$root/out/browser}"
if [ -n "$players" ]; then
	install "$root/clients/players"
	install "$here"
	node --test "$root"/clients/players/test/*.test.mjs
	node players.mjs "$target"
	exit
fi
install "$here"
node --test
node check.mjs "$target"
node dashboard.mjs "$target"
