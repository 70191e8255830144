package server

import "time"

// keysEvery is how often it is looked whether files with keys have changed.
const keysEvery = 5 * time.Second

// attendKeys looks at the files now and then; not on the goroutine of Run, which
// must not wait for a disk. Goroutine of Run only.
func (s *Server) attendKeys(now int64) {
	if s.settings().JWKS == "" && len(s.settings().TokenKeys) == 0 || now-s.looked < int64(keysEvery) {
		return
	}
	s.looked = now
	if s.refreshing.CompareAndSwap(false, true) {
		go func() {
			defer s.refreshing.Store(false)
			s.refreshKeys(false)
		}()
	}
}

// refreshKeys reads the keys of tokens again if their files have changed, or if
// always is set. Not for loops.
func (s *Server) refreshKeys(always bool) {
	verifier := s.rules.Load().tokens
	if verifier == nil {
		return
	}
	switch n, err := verifier.Refresh(always); {
	case err != nil:
		s.log.Error("keys not read again, those there were stay", "error", err)
	case n > 0:
		s.log.Info("keys read again", "keys", n)
	}
}
