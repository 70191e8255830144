package config

// Moderation is what becomes of comments before they are published, and where decisions are kept.
type Moderation struct {
}

var tableModeration = []definition{}
