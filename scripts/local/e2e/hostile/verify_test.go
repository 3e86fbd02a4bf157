package hostile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// ingestQueue is the queue that the content bucket notifies.
func (w *world) ingestQueue() string {
	i := slices.IndexFunc(w.Model.Buckets, func(b *template.Bucket) bool { return b.Name == w.Dev(nil).Bucket })
	return w.Model.Buckets[i].Notifications[0].TargetARN
}

// settle waits until all is well, sending what failed by chance alone on its way
// again, and says what is still wrong when it has waited for long.
func (w *world) settle(t *testing.T, l *load) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), calmDown)
	defer cancel()
	for {
		for _, q := range w.Model.Queues {
			if q.RedriveTargetARN == "" {
				continue
			}
			if moved, err := w.Broker.Redrive(ctx, q.RedriveTargetARN); err == nil {
				w.redriven += moved
			}
		}
		s, err := w.snapshot(context.WithoutCancel(ctx))
		if err != nil {
			t.Fatal(err)
		}
		problems := slices.Concat(s.unsettled(l), s.wrongBytes(w), s.wrongQuota(), s.wrongObjects(l), s.wrongEvents(), s.wrongLetters(l))
		if len(problems) == 0 || ctx.Err() != nil {
			return problems
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// unsettled is what has not come to its end: nothing that was acknowledged may be lost.
func (s *snapshot) unsettled(l *load) (problems []string) {
	for id, want := range l.sent {
		u, ok := s.uploads[id]
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("upload %s, which was acknowledged, is gone", id))
		case string(u.State) != string(want):
			problems = append(problems, fmt.Sprintf("upload %s of %s is %s, not %s", id, u.Path, u.State, want))
		}
	}
	for id := range l.aborted {
		if u := s.uploads[id]; u.State != upload.Aborted || len(u.Reservation) > 0 {
			problems = append(problems, fmt.Sprintf("aborted upload %s is %s and holds %v", id, u.State, u.Reservation))
		}
	}
	for id, changes := range l.changes {
		want, known := lastOf(changes)
		if o := s.objects[id]; known && o.State != want {
			problems = append(problems, fmt.Sprintf("object %s is %s, the last that was acknowledged made it %s", id, o.State, want))
		}
	}
	for queue, n := range s.queued {
		if n > 0 {
			problems = append(problems, fmt.Sprintf("%d messages in %s", n, queue))
		}
	}
	return problems
}

// lastOf is the state into which the last change of an object brought it, where one was
// the last for certain: it was acknowledged, and none that can have had an effect was under
// way beside it.
func lastOf(changes []change) (object.State, bool) {
	var last change
	for _, c := range changes {
		if !c.refused && !c.ended.IsZero() && c.begun.After(last.begun) {
			last = c
		}
	}
	alone := !slices.ContainsFunc(changes, func(c change) bool {
		return c != last && !c.refused && (c.ended.IsZero() || c.ended.After(last.begun))
	})
	return last.to, alone && !last.begun.IsZero()
}

// wrongBytes is where the catalog and S3 differ.
func (s *snapshot) wrongBytes(w *world) (problems []string) {
	left := map[string]stored{}
	for at, v := range s.stored {
		left[at] = v
	}
	for _, v := range s.versions {
		at := v.S3Key + " " + v.S3VersionID
		held, ok := left[at]
		if v.State != object.Available {
			continue
		}
		delete(left, at)
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("version %s of %s has no bytes at %s", v.ID, v.ObjectID, at))
		case held.size != v.Size || held.marker:
			problems = append(problems, fmt.Sprintf("version %s of %s has %d bytes, S3 %+v", v.ID, v.ObjectID, v.Size, held))
		default:
			tags, err := w.S3.ObjectTags(context.Background(), w.Dev(nil).Bucket, v.S3Key, v.S3VersionID)
			if err != nil || tags[object.VerdictTag] != object.VerdictAvailable {
				problems = append(problems, fmt.Sprintf("version %s of %s is tagged %v, %v", v.ID, v.ObjectID, tags, err))
			}
		}
	}
	for at, v := range left {
		if v.size > 0 || v.marker { // what has none is a seal: it keeps the key closed
			problems = append(problems, fmt.Sprintf("S3 holds %+v at %s, of which the catalog knows nothing", v, at))
		}
	}
	return problems
}

// wrongQuota is where quotas do not sum up.
func (s *snapshot) wrongQuota() (problems []string) {
	for id, ws := range s.workspaces {
		var stored, reserved workspace.Amount
		published := map[string]bool{}
		for _, v := range s.versions {
			if v.Workspace == id && v.State == object.Available {
				stored.Bytes += v.Size
				published[v.ObjectID] = true
			}
		}
		stored.Objects = int64(len(published))
		for _, u := range s.uploads {
			if u.Workspace == id {
				for _, r := range u.Reservation {
					reserved = reserved.Plus(r.Amount)
				}
			}
		}
		got := workspace.Sum(s.shards[id])
		if got.Stored != stored {
			problems = append(problems, fmt.Sprintf("%s: stored is %+v, its versions are %+v", id, got.Stored, stored))
		}
		if got.Reserved != reserved {
			problems = append(problems, fmt.Sprintf("%s: reserved is %+v, its uploads hold %+v", id, got.Reserved, reserved))
		}
		limit := workspace.Amount{Bytes: ws.Quota.Bytes, Objects: ws.Quota.Objects, Uploads: ws.Quota.OpenUploads}
		if got.Total() != limit {
			problems = append(problems, fmt.Sprintf("%s: available, reserved and stored are %+v, the quota is %+v", id, got.Total(), limit))
		}
	}
	return problems
}

// wrongObjects is where an effect came twice, or half.
func (s *snapshot) wrongObjects(l *load) (problems []string) {
	byUpload, byObject, newest := map[string]int{}, map[string]int64{}, map[string]string{}
	for _, v := range s.versions {
		if v.State != object.Available {
			continue
		}
		byUpload[v.ID]++
		byObject[v.ObjectID]++
		newest[v.ObjectID] = max(newest[v.ObjectID], v.ID)
	}
	for id, u := range s.uploads {
		if n := byUpload[id]; (n == 1) != (u.State == upload.Available) || n > 1 {
			problems = append(problems, fmt.Sprintf("upload %s is %s and has %d versions", id, u.State, n))
		}
	}
	for id, o := range s.objects {
		// Each version and each change writes once; changes take turns, so that an odd
		// number of them leaves the object deleted.
		changed := o.Rev - byObject[id]
		if o.State == object.Rejected {
			changed = o.Rev - 1
		}
		if changed < 0 || changed > effective(l.changes[id]) || (changed%2 == 1) != (o.State == object.Deleted) {
			problems = append(problems, fmt.Sprintf("object %s (%s) has rev %d; %d versions and %d changes explain another", id, o.State, o.Rev, byObject[id], effective(l.changes[id])))
		}
		if newest[id] != "" && o.Version != newest[id] {
			problems = append(problems, fmt.Sprintf("object %s shows version %s, its newest is %s", id, o.Version, newest[id]))
		}
		claim, claimed := s.paths[o.Workspace+"/"+o.Path]
		if owns := claimed && claim.ObjectID == id; owns != o.State.OwnsPath() {
			problems = append(problems, fmt.Sprintf("object %s is %s and owns its path: %t", id, o.State, owns))
		}
	}
	for path, claim := range s.paths {
		if _, ok := s.objects[claim.ObjectID]; !ok {
			problems = append(problems, fmt.Sprintf("%s belongs to %s, which does not exist", path, claim.ObjectID))
		}
	}
	return problems
}

// effective counts the changes that can have had an effect.
func effective(changes []change) (n int64) {
	for _, c := range changes {
		if !c.refused {
			n++
		}
	}
	return n
}

// wrongEvents is where the bus was not told each rev of an object, the first time
// in order. Repeats are as on AWS.
func (s *snapshot) wrongEvents() (problems []string) {
	for id, o := range s.objects {
		last := int64(0)
		for _, rev := range s.told[id] {
			if rev == last+1 {
				last++
			} else if rev > last {
				problems = append(problems, fmt.Sprintf("object %s: the bus was told the revs %v", id, s.told[id]))
				break
			}
		}
		if last != o.Rev {
			problems = append(problems, fmt.Sprintf("object %s (%s) has rev %d, the bus was told %v", id, o.State, o.Rev, s.told[id]))
		}
	}
	for id := range s.told {
		if _, ok := s.objects[id]; !ok {
			problems = append(problems, fmt.Sprintf("the bus was told of %s, which does not exist", id))
		}
	}
	return problems
}

// wrongLetters is where a poisonous record has not exactly one dead letter, or
// something else has one.
func (s *snapshot) wrongLetters(l *load) (problems []string) {
	found := map[string][]string{}
	for key, body := range s.letters {
		poisonous := false
		for mark := range l.poison {
			if strings.Contains(body, mark+`"`) || strings.Contains(body, mark+" ") || strings.Contains(body, mark+`\"`) {
				found[mark] = append(found[mark], key)
				poisonous = true
			}
		}
		if !poisonous {
			problems = append(problems, fmt.Sprintf("a dead letter of what was no poison, %s: %.400s", key, body))
		}
	}
	for mark := range l.poison {
		if len(found[mark]) != 1 {
			problems = append(problems, fmt.Sprintf("%s has the dead letters %v", mark, found[mark]))
		}
	}
	return problems
}
