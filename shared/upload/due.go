package upload

import "time"

// Due is when an upload that holds quota asks for attention: when it expires, or,
// once it has ended, at once, to have its key sealed and its quota given back.
func (u Upload) Due() time.Time {
	if u.State.Ended() {
		return u.EndedAt
	}
	return u.ExpiresAt
}

// Pending names an upload that holds quota and is due.
type Pending struct {
	Workspace string
	ID        string
	Due       time.Time
}

// Checkpoint is how far a sweep over all workspaces has come.
type Checkpoint struct {
	// Sweep is the sweep's name.
	Sweep string
	// Mark is the sweep's own note of its place.
	Mark    string
	SavedAt time.Time
}
