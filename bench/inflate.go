package main

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Compression as a viewer sees it (RFC 7692). The standard library's decoder is
// used on purpose: the server compresses with another one.

// inflater makes plain messages of compressed ones. Each message stands alone.
// Owned by one goroutine; the zero value is ready.
type inflater struct {
	in    bytes.Reader
	out   bytes.Buffer
	codec io.ReadCloser
	frame []byte // the message with its tail
}

// deflateTail closes a message's data: the four bytes that section 7.2.1 has
// cut off, then an empty last block, so that the decoder sees an end.
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

var (
	errInflateTail = errors.New("bytes behind the end of the compressed data")
	errInflateBig  = errors.New("compressed message longer than 64 MiB")
)

// plain inflates one message. The slice is valid until the next call.
func (i *inflater) plain(payload []byte) ([]byte, error) {
	i.frame = append(append(i.frame[:0], payload...), deflateTail...)
	i.in.Reset(i.frame)
	i.out.Reset()
	if i.codec == nil {
		i.codec = flate.NewReader(&i.in)
	} else if err := i.codec.(flate.Resetter).Reset(&i.in, nil); err != nil {
		return nil, err
	}
	return readWhole(&i.out, i.codec, &i.in, errInflateTail)
}

// readWhole reads codec into out. in, from which codec reads, must be at its end then:
// else the error is tail.
func readWhole(out *bytes.Buffer, codec io.Reader, in *bytes.Reader, tail error) ([]byte, error) {
	n, err := io.Copy(out, io.LimitReader(codec, frameLimit+1))
	switch {
	case err != nil:
		return nil, err
	case n > frameLimit:
		return nil, errInflateBig
	case in.Len() > 0:
		return nil, tail
	}
	return out.Bytes(), nil
}

// plainSize is how long the frame of an uncompressed message of n bytes is.
func plainSize(n int) int {
	switch {
	case n < 126:
		return 2 + n
	case n <= 0xffff:
		return 4 + n
	}
	return 10 + n
}

// deflateOffer is what a viewer offers: the server may use its full window and
// neither side keeps one between messages, if the server says so.
const deflateOffer = "permessage-deflate; client_max_window_bits"

var errNoDeflate = errors.New("the server did not take permessage-deflate")

// checkExtensions judges the server's Sec-WebSocket-Extensions against what
// was offered (RFC 7692 section 7.1): exactly one extension, both sides
// without context takeover, windows of 8 to 15 bits.
func checkExtensions(answer string, offered bool) error {
	if !offered {
		if answer != "" {
			return fmt.Errorf("extension %q, where none was offered", answer)
		}
		return nil
	}
	if answer == "" {
		return errNoDeflate
	}
	parts := strings.Split(answer, ";")
	if strings.TrimSpace(parts[0]) != "permessage-deflate" {
		return fmt.Errorf("extension %q, which was not offered", answer)
	}
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		if seen[name] {
			return fmt.Errorf("extension %q: %s twice", answer, name)
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if given {
				return fmt.Errorf("extension %q: %s takes no value", answer, name)
			}
		case "server_max_window_bits", "client_max_window_bits":
			if n, err := strconv.Atoi(value); err != nil || n < 8 || n > 15 {
				return fmt.Errorf("extension %q: %s is 8 to 15", answer, name)
			}
		default:
			return fmt.Errorf("extension %q: unknown parameter %s", answer, name)
		}
	}
	if !seen["server_no_context_takeover"] || !seen["client_no_context_takeover"] {
		return fmt.Errorf("extension %q lacks no_context_takeover of both sides", answer)
	}
	return nil
}
