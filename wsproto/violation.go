package wsproto

import "slices"

// Violation is a rule of the protocol that a peer broke, or a limit of ours
// that it went over. Each is declared once, so returning one costs nothing and
// they may be compared with ==. Read-only.
type Violation struct {
	Code Code   // what to send in the close frame, RFC 6455 section 7.4.1
	Name string // label for metrics: lower case, digits and underscore; unique
	Text string // for the reason of the close frame and for logs
}

func (v *Violation) Error() string { return "websocket: " + v.Text }

// Violations found by Decode.
var (
	// "MUST be 0 unless an extension is negotiated that defines meanings for
	// non-zero values", section 5.2. permessage-deflate defines RSV1, for the
	// first frame of a message.
	ErrReservedBits = &Violation{CodeProtocol, "reserved_bits", "reserved bits must be zero"}
	// "If an unknown opcode is received, the receiving endpoint MUST _Fail the
	// WebSocket Connection_", section 5.2.
	ErrOpcode = &Violation{CodeProtocol, "opcode", "unknown opcode"}
	// "All control frames [...] MUST NOT be fragmented", section 5.5.
	ErrControlFragmented = &Violation{CodeProtocol, "control_fragmented", "control frames must not be fragmented"}
	// "All control frames MUST have a payload length of 125 bytes or less",
	// section 5.5.
	ErrControlLong = &Violation{CodeProtocol, "control_long", "control frames carry at most 125 bytes"}
	// "The server MUST close the connection upon receiving a frame that is not
	// masked", section 5.1.
	ErrUnmasked = &Violation{CodeProtocol, "unmasked", "frames from a client must be masked"}
	// "the minimal number of bytes MUST be used to encode the length", section 5.2.
	ErrLengthNotMinimal = &Violation{CodeProtocol, "length_not_minimal", "payload length is not in its shortest form"}
	// "the most significant bit MUST be 0", section 5.2.
	ErrLengthTopBit = &Violation{CodeProtocol, "length_top_bit", "payload length has its top bit set"}
	// Our limit, section 10.4.
	ErrFrameBig = &Violation{CodeTooBig, "frame_big", "frame is too big"}
)

// Violations found by Assembler.
var (
	// Section 5.4: a continuation belongs to a message that was begun.
	ErrContinuation = &Violation{CodeProtocol, "continuation", "continuation without a message under way"}
	// "The fragments of one message MUST NOT be interleaved between the
	// fragments of another message", section 5.4.
	ErrInterleaved = &Violation{CodeProtocol, "interleaved", "new message before the last fragment of the one under way"}
	// Our limit, section 10.4.
	ErrMessageBig = &Violation{CodeTooBig, "message_big", "message is too big"}
	// Our limit: empty fragments cost a sender little and never add up to a
	// message that is too big.
	ErrFragments = &Violation{CodePolicy, "fragments", "message has too many fragments"}
	// "When an endpoint is to interpret a byte stream as UTF-8 but finds that
	// the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST
	// _Fail the WebSocket Connection_", section 8.1.
	ErrText = &Violation{CodeInvalid, "text_utf8", "text is not UTF-8"}
)

// Violations found by Inflater, which also reports ErrMessageBig and ErrText.
var (
	// RFC 7692 section 7.2.2: what is marked as compressed must be inflatable.
	// "data within a message that was not consistent with the type of the
	// message" is what RFC 6455 section 7.4.1 says of 1007.
	ErrDeflate = &Violation{CodeInvalid, "deflate", "compressed message is broken"}
)

// Violations found by ParseClose.
var (
	// "If there is a body, the first two bytes of the body MUST be a 2-byte
	// unsigned integer", section 5.5.1.
	ErrCloseShort = &Violation{CodeProtocol, "close_short", "close frame with a body of one byte"}
	// Section 7.4: codes that are not in use or must not be sent.
	ErrCloseCode = &Violation{CodeProtocol, "close_code", "close code must not be used"}
	// Section 5.5.1: the reason is UTF-8.
	ErrCloseText = &Violation{CodeInvalid, "close_utf8", "close reason is not UTF-8"}
)

var violations = []*Violation{
	ErrReservedBits,
	ErrOpcode,
	ErrControlFragmented,
	ErrControlLong,
	ErrUnmasked,
	ErrLengthNotMinimal,
	ErrLengthTopBit,
	ErrFrameBig,
	ErrContinuation,
	ErrInterleaved,
	ErrMessageBig,
	ErrFragments,
	ErrText,
	ErrDeflate,
	ErrCloseShort,
	ErrCloseCode,
	ErrCloseText,
}

// Violations returns every violation this package can report, so that each can
// be given its counter at start. The slice is the caller's.
func Violations() []*Violation { return slices.Clone(violations) }
