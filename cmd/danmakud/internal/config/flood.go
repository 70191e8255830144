package config

// Derived limits are far above what any honest viewer does, so that they end only
// floods.
const (
	// framesBesides and framesPerComment: pings, pongs, likes and a close, and for
	// each comment a viewer may send nine more frames, of fragments or of comments
	// that are refused.
	framesBesides    = 20
	framesPerComment = 10
	// frameBurstLeast lets a viewer be refused often enough to be closed for that.
	frameBurstLeast = 200
	burstSeconds    = 4
	// bytesPerFrame is larger than the longest comment of the default settings.
	bytesPerFrame  = 1 << 10
	byteBurstLeast = 256 << 10
	// framesPerPing is the share of pings among frames.
	framesPerPing  = 5
	pingBurstLeast = 100
)

// A Bucket is a rate a second and how much may come at once. Rate 0 means no limit.
type Bucket struct{ Rate, Burst float64 }

// Flood holds the limits of what one connection may send.
type Flood struct{ Frames, Bytes, Pings Bucket }

// Flood returns the limits in force: those that were set, and the others derived
// from --comment-rate. Without a limit on comments only what was set is limited.
// No burst is above floodMax, up to which tokens are counted exactly.
func (c *Config) Flood() Flood {
	frames := c.FrameRate
	if frames == 0 && c.CommentRate > 0 {
		frames = framesBesides + framesPerComment*c.CommentRate
	}
	bytes := c.ByteRate
	if bytes == 0 {
		bytes = frames * bytesPerFrame
	}
	pings := c.PingRate
	if pings == 0 {
		pings = frames / framesPerPing
	}
	return Flood{
		Frames: bucket(frames, c.FrameBurst, frameBurstLeast),
		Bytes:  bucket(bytes, c.ByteBurst, max(byteBurstLeast, 4*c.MaxMessage)),
		Pings:  bucket(pings, c.PingBurst, pingBurstLeast),
	}
}

func bucket(rate float64, burst, least int) Bucket {
	if burst == 0 {
		return Bucket{rate, min(max(burstSeconds*rate, float64(least)), floodMax)}
	}
	return Bucket{rate, float64(burst)}
}
