// Package dashboard is the operators' page: what goes on, room by room, and what
// can be done about it. Files as they are, without a build step; nothing comes from
// another origin.
//
//	index.html ─ app.js ─┬─ overview.js ── charts.js
//	                     ├─ rooms.js, room.js (live view: stream.js)
//	                     ├─ people.js, words.js, audit.js
//	                     └─ api.js      every call of the control API, and the key
//	                        dom.js      elements; foreign text only ever as text
//
// The control API serves them, under a policy without inline script or style and
// with Trusted Types but no policy for them: what viewers say cannot become markup,
// not even by mistake.
package dashboard

import "embed"

// Files are index.html and what it refers to, by their paths.
//
//go:embed index.html assets
var Files embed.FS
