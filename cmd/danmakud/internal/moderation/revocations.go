package moderation

import (
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
)

// KeepRevocation has a revocation of tokens survive a restart, in place of an
// earlier one of the same token or user. Without a store it does nothing.
func (d *Desk) KeepRevocation(r token.Revocation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	put := []record{{bucketRevocations, revocationKey(&r), r}}
	if err := d.store.write(change{put: put}); err != nil {
		return err
	}
	d.tell(put, nil)
	return nil
}

// Revocations returns those that the store had when it was opened, without those
// that are over.
func (d *Desk) Revocations() []token.Revocation { return d.revocations }

// restoreRevocations sorts out those that are over.
func (d *Desk) restoreRevocations(all []token.Revocation, wall time.Time) error {
	var c change
	for _, r := range all {
		if r.Until != 0 && r.Until <= wall.Unix() {
			c.remove = append(c.remove, record{bucket: bucketRevocations, key: revocationKey(&r)})
			continue
		}
		d.revocations = append(d.revocations, r)
	}
	if len(c.remove) == 0 {
		return nil
	}
	return d.store.write(c)
}

func revocationKey(r *token.Revocation) string {
	if r.ID != "" {
		return "token:" + r.ID
	}
	return "user:" + r.User
}
