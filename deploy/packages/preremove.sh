#!/bin/sh
# Before the package goes: with "remove" (deb) or 0 (rpm) for good, else an upgrade.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable --now danmakud.socket danmakud.service || true
	fi
	;;
esac
