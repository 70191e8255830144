package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// What the control API says that it has published is in the archive, also while the
// server goes down, which does not wait for those who go on publishing.
func TestCloseLosesNothingOfOperators(t *testing.T) {
	s, cancel, wait := run(t, func(c *config.Config) { c.Archive, c.DrainTime = t.TempDir(), 0 })
	url := "http://" + s.controlListener.Addr().String() + "/v1/rooms/r/comments"
	published := make(chan int)
	begun := make(chan struct{})
	go func() {
		client := http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		n := 0
		for {
			r, err := client.Post(url, "application/json", strings.NewReader(`{"text":"hello"}`))
			if err != nil {
				published <- n
				return
			}
			if r.Body.Close(); r.StatusCode/100 == 2 {
				if n++; n == 10 {
					close(begun)
				}
			}
		}
	}()
	select {
	case <-begun:
	case n := <-published:
		t.Fatalf("%d published", n)
	case <-time.After(20 * time.Second):
		t.Fatal("nothing can be published")
	}
	cancel()
	n := <-published
	if err := wait(); err != nil {
		t.Error(err)
	}
	if got := s.archive.Counts().Comments; got != uint64(n) {
		t.Errorf("%d of %d in the archive", got, n)
	}
}
