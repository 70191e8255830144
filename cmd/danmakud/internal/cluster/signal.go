package cluster

// signal wakes the one goroutine that receives from it. Being set while it has not
// been looked at adds nothing.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

// set does not block; any goroutine.
func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
