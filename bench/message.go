package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"unicode/utf8"
)

// The server's messages, as far as the judge looks into them.

// batchMessage is parsed once per distinct batch; all other copies of it are
// compared byte by byte.
type batchMessage struct {
	Type     string           `json:"type"`
	Room     string           `json:"room"`
	Seq      uint64           `json:"seq"`
	TS       int64            `json:"ts"`
	Sampled  int64            `json:"sampled"`
	Comments []commentMessage `json:"comments"`
}

type commentMessage struct {
	ID   string `json:"id"`
	UID  string `json:"uid"`
	Text string `json:"text"`
	TS   int64  `json:"ts"`
	Kind string `json:"kind"`
	// Count is how many equal comments it stands for, itself included; 0 = it alone.
	Count int64 `json:"count"`
}

// noticeMessage is anything that is meant for one viewer alone.
type noticeMessage struct {
	Type     string           `json:"type"`
	Room     string           `json:"room"`
	Epoch    string           `json:"epoch"`
	Seq      *uint64          `json:"seq"`
	UID      string           `json:"uid"`
	History  []commentMessage `json:"history"`
	From     uint64           `json:"from"`
	To       uint64           `json:"to"`
	Batches  uint64           `json:"batches"`
	Comments int64            `json:"comments"`
	Code     string           `json:"code"`
	Reason   string           `json:"reason"`

	RetryAfterMS int64  `json:"retry_after_ms"`
	Host         string `json:"host"`
	Resumed      *bool  `json:"resumed"`
	Text         string `json:"text"` // the floor's relay sends comments back as they came
}

var (
	batchHead = []byte(`{"type":"batch",`)
	seqField  = []byte(`"seq":`)

	errNotBatch = errors.New("not a batch")
	errUTF8     = errors.New("not valid UTF-8")
	errNoSeq    = errors.New("no seq where it belongs")
)

// seqOf finds the sequence of a batch in its first bytes, without parsing it.
// It relies on the documented order of fields: type, room, seq.
func seqOf(p []byte) (uint64, error) {
	if !bytes.HasPrefix(p, batchHead) {
		return 0, errNotBatch
	}
	p = p[:min(len(p), headRoom)]
	at := bytes.Index(p, seqField)
	if at < 0 {
		return 0, errNoSeq
	}
	var n uint64
	digits := 0
	for _, c := range p[at+len(seqField):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
		digits++
	}
	if digits == 0 || digits > 19 {
		return 0, errNoSeq
	}
	return n, nil
}

// headRoom is how many bytes of a batch surely hold its sequence: the names of
// the fields, a room of 64 bytes and 20 digits.
const headRoom = 160

// parseBatch reads a whole batch, strictly.
func parseBatch(p []byte) (*batchMessage, error) {
	if !utf8.Valid(p) {
		return nil, errUTF8 // encoding/json would replace the bytes in silence
	}
	m := new(batchMessage)
	if err := json.Unmarshal(p, m); err != nil {
		return nil, err
	}
	if m.Type != "batch" {
		return nil, errNotBatch
	}
	return m, nil
}

// parseNotice reads a message for one viewer.
func parseNotice(p []byte) (*noticeMessage, error) {
	if !utf8.Valid(p) {
		return nil, errUTF8
	}
	m := new(noticeMessage)
	return m, json.Unmarshal(p, m)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fingerprint identifies the bytes of a batch across worker processes. Two
// CRCs, since both have instructions of their own and run at memory speed.
func fingerprint(p []byte) uint64 {
	return uint64(crc32.Checksum(p, castagnoli))<<32 | uint64(crc32.ChecksumIEEE(p))
}
