package main

import (
	"slices"
	"syscall"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// fleet is one worker's share of a plan. Owned by the loop goroutine.
type fleet struct {
	// Fixed after construction.
	loop      *loop
	plan      plan
	to        *syscall.SockaddrInet4
	handshake *handshake
	addresses []*syscall.SockaddrInet4 // of all nodes
	rooms     []*roomLog
	senders   []*sender // grows while viewers join; fixed once sending begins

	packetLogs []*packetLog // by room, of viewers that speak packets
	beaten     int64        // the second in which heartbeats were sent last

	// Opening and churning.
	members  []*viewer // steady: all that were opened; churning: those that are here
	next     int       // number of the next viewer to open
	until    int       // open viewers below this number
	nextOpen float64   // microseconds, when a rate is asked for
	churning bool
	looked   int64 // when churning viewers were last asked to leave
	spoken   bool  // comments have been sent
	now      int64 // of the turn
	serial   int32 // generation of the next viewer
	again    []comeback

	lookedBack, lookedLate int64 // when comebacks and late ones were last looked at

	// Of viewers that return.
	outcomes map[string]int64
	epochs   map[string]int64
	closings map[int64]int64
	away     map[int]*journey // by viewer: who has been on another node

	// What came.
	status        fleetStatus
	faults        faults
	codes         map[string]int64
	roomErrors    []int64
	claims        map[*roomLog][]historyClaim
	windows       []*latencyWindow
	recent        *hdrhistogram.Histogram
	connectDelays *hdrhistogram.Histogram
	upgradeDelays *hdrhistogram.Histogram
	joinDelays    *hdrhistogram.Histogram
	backDelays    *hdrhistogram.Histogram // from the loss of a node to the welcome of another
	late          *hdrhistogram.Histogram // of the load itself
}

// latencyWindow collects the latencies of one window.
type latencyWindow struct {
	window
	delays *hdrhistogram.Histogram
	far    *hdrhistogram.Histogram // of comments that were said on other nodes
}

// newFleet prepares a fleet. Rooms that another fleet of the worker uses too
// are shared with it.
func newFleet(l *loop, p plan) (*fleet, error) {
	to, err := resolve(p.Addr)
	if err != nil {
		return nil, err
	}
	f := &fleet{
		loop: l, plan: p, to: to, handshake: newHandshake(&p),
		next:          p.Worker,
		codes:         map[string]int64{},
		outcomes:      map[string]int64{},
		epochs:        map[string]int64{},
		closings:      map[int64]int64{},
		away:          map[int]*journey{},
		roomErrors:    make([]int64, p.Rooms),
		claims:        map[*roomLog][]historyClaim{},
		recent:        newRoughDelays(),
		connectDelays: newDelays(),
		upgradeDelays: newDelays(),
		joinDelays:    newDelays(),
		backDelays:    newDelays(),
		late:          newDelays(),
	}
	for _, addr := range p.Nodes {
		to, err := resolve(addr)
		if err != nil {
			return nil, err
		}
		f.addresses = append(f.addresses, to)
	}
	for i := range p.Rooms {
		name, key := p.room(i), p.logName(i, p.Node)
		r := l.rooms[key]
		if r == nil {
			r = &roomLog{index: i, name: name, keeps: p.Nodes != nil, salt: saltOf(name), batches: map[uint64]*batchRecord{}, strays: l.rooms, packed: map[uint64]*batchRecord{}}
			if p.Bare {
				r.voices = map[string]*voice{}
			}
			l.rooms[key] = r
		}
		f.rooms = append(f.rooms, r)
		if p.Speaks == speaksPackets {
			f.packetLogs = append(f.packetLogs, newPacketLog(r, p.Protover, &l.unzip))
		}
	}
	return f, nil
}

// busy says whether the fleet has something to do without being asked.
func (f *fleet) busy() bool {
	return f.next < f.until || f.churning || len(f.again) > 0 || f.plan.ChurnRate > 0 && len(f.members) > 0
}

// step opens and ends connections as planned. Once a turn.
func (f *fleet) step(now int64) {
	f.now = now
	f.beatAll(now)
	if f.churning {
		f.churn(now)
	}
	for f.next < f.until && f.status.Connecting < f.plan.InFlight && f.mayOpen(now) {
		f.open(now)
	}
	if f.plan.Returns {
		f.bringBack(now)
	}
	if f.plan.ChurnRate > 0 && now-f.looked >= 2000 {
		f.looked = now
		f.sendAway(now)
	}
}

// mayOpen keeps the connect rate.
func (f *fleet) mayOpen(now int64) bool {
	if f.plan.ConnectRate <= 0 || f.churning {
		return true
	}
	if f.nextOpen == 0 {
		f.nextOpen = float64(now)
	}
	if f.nextOpen > float64(now) {
		return false
	}
	f.nextOpen += 1e6 * float64(f.plan.Workers) / f.plan.ConnectRate
	return true
}

// churn raises the number of viewers to open with time.
func (f *fleet) churn(now int64) {
	if f.nextOpen == 0 {
		f.nextOpen = float64(now)
	}
	for f.nextOpen <= float64(now) {
		f.until += f.plan.Workers
		f.nextOpen += 1e6 * float64(f.plan.Workers) / f.plan.ChurnRate
	}
}

// open begins the next connection.
func (f *fleet) open(now int64) {
	f.next += f.plan.Workers
	f.status.Wanted++
	f.connect(f.next-f.plan.Workers, now)
}

// connect begins a viewer's connection.
func (f *fleet) connect(number int, now int64) {
	p := &f.plan
	f.serial++
	v := &viewer{
		fleet: f, room: f.rooms[p.roomOf(number)], number: number, generation: f.serial,
		level: p.levelOf(number % max(p.Viewers, 1)), deflate: p.compresses(number % max(p.Viewers, 1)), mute: p.mutes(number), began: now, node: p.Node,
	}
	to := f.to
	if j := f.away[number]; j != nil {
		v.node, v.room, v.mute = j.node, f.logAt(v.room.index, j.node), true
		to = f.addresses[j.node]
	}
	fd, done, err := startConnect(to, number%p.Sources, p.Sources > 1)
	if err != nil {
		if p.Returns {
			f.missed(number, err, now)
			return
		}
		f.status.Failed++
		f.faults.add(faultConnect, 1, "viewer %d: %v", number, err)
		return
	}
	v.fd = fd
	f.status.Connecting++
	f.members = append(f.members, v)
	if err := f.loop.adopt(v, syscall.EPOLLOUT); err != nil {
		v.end(err)
		return
	}
	if done {
		v.connected(nil, nowMicros())
	}
}

// sendAway ends churning viewers whose time is up, in three manners.
func (f *fleet) sendAway(now int64) {
	for _, v := range slices.Clone(f.members) {
		if v.leaveAt == 0 || now < v.leaveAt {
			continue
		}
		if v.state == leaving {
			v.end(errCloseTimeout)
			continue
		}
		switch v.number / f.plan.Workers % 3 {
		case 0: // by the book
			v.state = leaving
			v.leaveAt = now + closeMicros
			v.write(opClose, []byte{1000 >> 8, 1000 & 0xff})
		case 1: // the browser's tab is closed
			v.depart()
			syscall.Close(v.fd)
		case 2: // the phone is gone
			v.depart()
			abort(v.fd)
		}
	}
}

const closeMicros = 10e6 // the server has this long to answer a close frame

// depart takes a viewer out that leaves without a word.
func (v *viewer) depart() {
	f := v.fleet
	v.state = over
	f.status.Joined--
	f.status.Leaves++
	f.loop.release(v)
	f.remove(v)
}

// remove takes a churning viewer off the list and settles what it missed.
func (f *fleet) remove(v *viewer) {
	f.settle(v)
	f.members = slices.DeleteFunc(f.members, func(m *viewer) bool { return m == v })
}

// settle counts what never came though later ones did.
func (f *fleet) settle(v *viewer) {
	f.faults.add(faultLost, v.seq.lost(), "viewer %d room %s: %d batches missing between others", v.number, v.room.name, v.seq.lost())
	for sender, s := range v.echoes {
		f.faults.add(faultLost, s.lost(), "viewer %d: %d comments of sender %d missing between others", v.number, s.lost(), sender)
	}
}

// forget closes the socket of a viewer that has ended. A sender's stays open
// until the fleet is closed, since the pacer may be writing to that number.
func (f *fleet) forget(v *viewer) {
	v.carry = nil
	if v.out != nil {
		v.out.stop()
		_ = syscall.Shutdown(v.fd, syscall.SHUT_RDWR)
		return
	}
	abort(v.fd)
	if f.plan.ChurnRate > 0 {
		f.remove(v)
	}
}

// stall stops or resumes the reading of the viewers meant for that.
func (f *fleet) stall(on bool) error {
	for _, v := range f.members {
		if v.state != joined || !f.plan.stalls(v.number) || v.stalled == on {
			continue
		}
		v.stalled = on
		interest := uint32(syscall.EPOLLIN)
		if on {
			interest = 0
		}
		if err := f.loop.watch(v, syscall.EPOLL_CTL_MOD, interest); err != nil {
			return err
		}
	}
	return nil
}

// latency records the delay of one comment at one viewer.
func (f *fleet) latency(sender uint32, intended, now int64) {
	delay := now - intended
	record(f.recent, delay)
	for i := len(f.windows) - 1; i >= 0; i-- {
		if w := f.windows[i]; intended >= w.From && intended < w.To {
			if f.plan.Nodes != nil && !f.plan.local(sender) {
				record(w.far, delay)
				return
			}
			record(w.delays, delay)
			return
		}
	}
}

// report is the fleet's status, without recent latencies.
func (f *fleet) report() *fleetStatus {
	s := f.status
	s.Faults = f.faults.total()
	s.Sent = f.sent()
	return &s
}

func (f *fleet) sent() int64 {
	var n int64
	for _, s := range f.senders {
		n += s.sent.Load()
	}
	return n
}

// hangUp closes all sockets of the fleet, those of ended senders included. The
// pacer must have ended.
func (f *fleet) hangUp() {
	for _, v := range f.members {
		if v.state != over {
			f.loop.release(v)
			abort(v.fd)
		} else if v.out != nil {
			syscall.Close(v.fd)
		}
	}
}

// close ends the fleet and returns all that it saw. The pacer must have ended.
func (f *fleet) close() *fleetResult {
	f.hangUp()
	r := &fleetResult{Codes: f.codes, Delays: map[string][]byte{}}
	f.fillViewers(r)
	if f.plan.ChurnRate == 0 {
		f.fillRooms(r)
	}
	for _, l := range f.rooms {
		l.checkHistory(f.claims[l], &f.faults)
	}
	r.Delays["connect"], _ = encodeDelays(f.connectDelays)
	r.Delays["upgrade"], _ = encodeDelays(f.upgradeDelays)
	r.Delays["join"], _ = encodeDelays(f.joinDelays)
	r.Delays["back"], _ = encodeDelays(f.backDelays)
	r.Delays["late"], _ = encodeDelays(f.late)
	for _, w := range f.windows {
		r.Delays[w.Name], _ = encodeDelays(w.delays)
		if f.plan.Nodes != nil {
			r.Delays[w.Name+farSuffix], _ = encodeDelays(w.far)
		}
	}
	r.Outcomes, r.Epochs, r.Closings = f.outcomes, f.epochs, f.closings
	r.Faults = f.faults
	r.Status = *f.report()
	f.members = nil
	return r
}

func (f *fleet) fillViewers(r *fleetResult) {
	for _, v := range f.members {
		f.settle(v)
		if v.moved {
			continue // its account goes on with the next connection
		}
		if v.state == joined {
			f.faults.add(faultLost, int64(v.beats), "viewer %d: %d heartbeats without an answer", v.number, v.beats)
		}
		if f.plan.ChurnRate > 0 || v.state < joined || v.state == over && v.heard == 0 {
			continue
		}
		r.Viewers = append(r.Viewers, viewerResult{
			Viewer: v.number, Level: v.level, Welcome: v.welcome, Next: v.seq.next, Bytes: v.bytes,
			Batches: v.batches, Comments: v.comments, Early: v.early, Gone: v.state == over, Skips: v.skips, Deflate: v.deflate,
			Stays: f.stays(v),
		})
	}
}

func (f *fleet) fillRooms(r *fleetResult) {
	sent := make([]int64, len(f.rooms))
	for _, s := range f.senders {
		sent[s.room] += s.sent.Load()
	}
	for i, l := range f.packetLogs {
		r.Rooms = append(r.Rooms, l.result(i, f.plan.Worker == 0))
		delete(f.loop.rooms, l.room.name)
	}
	if f.packetLogs != nil {
		return
	}
	for i, l := range f.rooms {
		l.order(&f.faults)
		room := roomResult{Room: i, Sent: sent[i], Errors: f.roomErrors[i]}
		for _, b := range l.sorted() {
			room.Batches = append(room.Batches, batchResult{Seq: b.seq, Size: b.size, Sum: b.sum, Wire: b.wire, WireSum: b.packedSum, Comments: b.comments, Sampled: b.sampled, Said: encodeSaid(b.said)})
		}
		r.Rooms = append(r.Rooms, room)
		delete(f.loop.rooms, f.plan.logName(i, f.plan.Node))
	}
}
