//go:build !race

package moderation

const raced = false
