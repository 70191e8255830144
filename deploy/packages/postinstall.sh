#!/bin/sh
# After an install or an upgrade. Nothing is started or switched on: an operator looks
# at /etc/danmakud/danmakud.toml first. A server that runs is left alone, since a
# restart sends its viewers away; `systemctl restart danmakud` takes the new program.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
