#!/bin/sh
# What must go along with the program wherever it goes: its own licence, and the
# licences and notices of what is compiled into it, on any system that it is built for.
# usage: deploy/packages/licenses.sh FOLDER
set -eu
cd "$(dirname "$0")/../.."
folder=$1
mkdir -p "$folder"
cp LICENSE "$folder/LICENSE"
modules() {
	for system in linux darwin freebsd; do
		GOOS=$system CGO_ENABLED=0 go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/danmakud
	done | sort -u
	echo "Go $(go env GOVERSION) $(go env GOROOT)"
}
modules >"$folder/modules"
while read -r path version where; do
	found=
	for file in "$where"/LICEN[CS]E* "$where"/COPYING* "$where"/NOTICE*; do
		[ -f "$file" ] || continue
		case $file in *NOTICE*) ;; *) found=yes ;; esac
		printf '%s %s: %s\n\n' "$path" "$version" "${file##*/}"
		cat "$file"
		printf '\n%s\n\n' '-----------------------------------------------------------------------'
	done
	if [ -z "$found" ]; then
		echo "$path has no licence" >&2
		exit 1
	fi
done <"$folder/modules" >"$folder/THIRD-PARTY"
rm "$folder/modules"
