package wsproto

import (
	"encoding/binary"
	"unicode/utf8"
)

// Code is a close code, RFC 6455 section 7.4 and the IANA registry it opened.
// 3000-3999 are registered by libraries, 4000-4999 are private.
type Code uint16

const (
	CodeNormal      Code = 1000
	CodeGoingAway   Code = 1001
	CodeProtocol    Code = 1002
	CodeUnsupported Code = 1003
	CodeNoStatus    Code = 1005 // never on the wire: the close frame had no code
	CodeAbnormal    Code = 1006 // never on the wire: there was no close frame
	CodeInvalid     Code = 1007
	CodePolicy      Code = 1008
	CodeTooBig      Code = 1009
	CodeExtension   Code = 1010
	CodeInternal    Code = 1011
	CodeRestart     Code = 1012
	CodeTryLater    Code = 1013
	CodeGateway     Code = 1014
)

// Sendable reports whether c may stand in a close frame.
func (c Code) Sendable() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014, c >= 3000 && c <= 4999:
		return true
	}
	return false
}

// ReasonMax is the longest reason of a close frame, in bytes.
const ReasonMax = ControlMax - 2

// ParseClose reads the payload of a close frame, RFC 6455 section 5.5.1. An
// empty one has no code: it returns CodeNoStatus. reason is a view into p.
// An error is always a *Violation: its code is to be sent back, not the peer's.
func ParseClose(p []byte) (code Code, reason []byte, err error) {
	switch len(p) {
	case 0:
		return CodeNoStatus, nil, nil
	case 1:
		return 0, nil, ErrCloseShort
	}
	code = Code(binary.BigEndian.Uint16(p))
	if !code.Sendable() {
		return 0, nil, ErrCloseCode
	}
	if !utf8.Valid(p[2:]) {
		return 0, nil, ErrCloseText
	}
	return code, p[2:], nil
}

// AppendClose appends a close frame. A code that may not be sent gives a frame
// without code or reason, so that the result of ParseClose can be answered as
// it is: an empty close frame by an empty one. A reason of more than ReasonMax
// bytes is cut before the character that crosses the limit.
func AppendClose(dst []byte, code Code, reason string) []byte {
	if !code.Sendable() {
		return AppendHeader(dst, OpClose, 0)
	}
	if len(reason) > ReasonMax {
		cut := ReasonMax
		for cut > ReasonMax-utf8.UTFMax && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	dst = AppendHeader(dst, OpClose, 2+len(reason))
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), reason...)
}
