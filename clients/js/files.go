// Package js holds the JavaScript client of this folder, for the demo page: the
// files that npm gets are the files that the server serves.
package js

import "embed"

// Files are the modules of the client, without tests and types.
//
//go:embed backoff.js client.js queue.js seen.js
var Files embed.FS
