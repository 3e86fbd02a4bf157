package completer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// What may happen to a call to S3 or DynamoDB.
const (
	passes = iota
	neverSent
	answerLost
	callerDies
)

// call is an actor that waits to be let through.
type call struct {
	actor string
	fate  chan int
}

// stage lets one call of one actor through at a time, so that any order of their calls can
// be played, the same one again from the same draws.
type stage struct {
	calls chan call
	ended chan string
}

// seat is the way of one actor's calls.
type seat struct {
	*stage
	actor string
	die   context.CancelFunc
}

var errConnection = errors.New("connection reset by peer")

func (s *seat) RoundTrip(r *http.Request) (*http.Response, error) {
	fate := make(chan int, 1)
	select {
	case s.calls <- call{s.actor, fate}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	switch <-fate {
	case neverSent:
		return nil, errConnection
	case callerDies:
		s.die()
		return nil, context.Canceled
	case answerLost:
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close() // nobody reads it
		}
		return nil, errConnection
	default:
		return http.DefaultTransport.RoundTrip(r)
	}
}

// play runs actors over one stage until all have ended.
func play(t *testing.T, rt *rapid.T, w *world, actors map[string]func(ctx context.Context, s *side)) {
	t.Helper()
	st := &stage{calls: make(chan call), ended: make(chan string)}
	for name, act := range actors {
		ctx, die := context.WithCancel(t.Context())
		s := w.side(&seat{stage: st, actor: name, die: die})
		go func() {
			defer die()
			act(ctx, s)
			st.ended <- name
		}()
	}
	var waiting []call
	for live := len(actors); live > 0; {
		if len(waiting) < live {
			select {
			case c := <-st.calls:
				waiting = append(waiting, c)
			case <-st.ended:
				live--
			}
			continue
		}
		slices.SortFunc(waiting, func(a, b call) int { return strings.Compare(a.actor, b.actor) })
		i := rapid.IntRange(0, len(waiting)-1).Draw(rt, "next")
		fate := rapid.SampledFrom([]int{passes, passes, passes, passes, passes, passes, passes, passes, neverSent, answerLost, answerLost, callerDies}).Draw(rt, waiting[i].actor)
		waiting[i].fate <- fate
		waiting = slices.Delete(waiting, i, i+1)
	}
}

// TestInterleavings plays the calls of everybody who has to do with one upload in any order,
// with calls that fail, answers that are lost and actors that die. Whatever happened, once
// everything was delivered again the upload has one end, and what is stored, what is held of
// the quota and what the clients were told agree with it.
func TestInterleavings(t *testing.T) {
	w := newWorld(t)
	body := []byte("what a client sends, and then completes")
	round, published := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		crc := rapid.SampledFrom([]string{"", crc64nvme(body)}).Draw(rt, "declared")
		u := w.open(fmt.Sprintf("file-%d", round), body, func(u *upload.Upload) { u.CRC64NVME = crc })
		before := w.usage()
		told := &told{}
		play(t, rt, w, cast(rt, u, body, told))
		w.settle(rt, u)
		if w.check(rt, u, before, told) == upload.Available {
			published++
		}
	})
	if published == 0 || published == round {
		t.Errorf("%d of %d uploads were published: the test shows little", published, round)
	}
}

// told is what clients were answered.
type told struct{ completed, aborted atomic.Bool }

// cast draws who takes part.
func cast(rt *rapid.T, u upload.Upload, body []byte, told *told) map[string]func(ctx context.Context, s *side) {
	actors := map[string]func(ctx context.Context, s *side){}
	for i := range rapid.IntRange(1, 2).Draw(rt, "clients that complete") {
		sum := rapid.SampledFrom([]string{"", "", crc64nvme(body), crc64nvme(nil)}).Draw(rt, "checksum")
		actors[fmt.Sprintf("complete %d", i)] = func(ctx context.Context, s *side) {
			now, err := s.completions().Complete(ctx, alpha, u.ID, completion.Request{CRC64NVME: sum})
			if err == nil && now.State != upload.Completing {
				told.completed.Store(true)
			}
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(rt, "messages") {
		actors[fmt.Sprintf("finish %d", i)] = func(ctx context.Context, s *side) { s.finish(ctx, message(u), 0) }
	}
	if rapid.Bool().Draw(rt, "a client aborts") {
		actors["abort"] = func(ctx context.Context, s *side) {
			told.aborted.Store(s.end(ctx, u, upload.Abort, upload.Client) == nil)
		}
	}
	if rapid.IntRange(0, 3).Draw(rt, "the sweeper expires") == 0 {
		actors["expire"] = func(ctx context.Context, s *side) { _ = s.end(ctx, u, upload.Expire, upload.Sweeper) }
	}
	if rapid.IntRange(0, 3).Draw(rt, "a part is sent again") == 0 {
		actors["send"] = func(ctx context.Context, s *side) {
			_ = s.send(ctx, u, 1, []byte(strings.ToUpper(string(body))))
		}
	}
	actors["ingest"] = func(ctx context.Context, s *side) {
		for range 3 {
			s.ingest(ctx, u)
			_, _ = s.store.Upload(ctx, alpha, u.ID) // another turn, for others to do something first
		}
	}
	return actors
}

// settle delivers everything again, and does what the sweeper does, until nothing is left to
// do.
func (w *world) settle(rt *rapid.T, u upload.Upload) {
	ctx := w.t.Context()
	for range 3 {
		w.calm.ingest(ctx, u)
		if w.calm.finish(ctx, message(u), time.Hour) {
			rt.Fatal("the completion was handed back, and nothing is in its way")
		}
	}
	now := w.upload(u)
	if !now.State.Ended() {
		if now.State != upload.Uploading {
			rt.Fatalf("the upload is still %s", now.State)
		}
		if err := w.calm.end(ctx, u, upload.Expire, upload.Sweeper); err != nil {
			rt.Fatal(err)
		}
	}
	if now = w.upload(u); now.State != upload.Available && len(now.Reservation) > 0 {
		if err := w.calm.clear(ctx, now); err != nil {
			rt.Fatal(err)
		}
	}
	w.calm.ingest(ctx, u)
}

// check compares what is stored and held with how the upload ended.
func (w *world) check(rt *rapid.T, u upload.Upload, before workspace.Usage, told *told) upload.State {
	now := w.upload(u)
	var sizes int64
	verdicts := 0
	for _, v := range w.versions(u) {
		sizes += v.Size
		if v.Verdict == object.VerdictAvailable && v.Size > 0 {
			verdicts++
		}
	}
	left, err := w.calm.client.ListMultipartUploads(w.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket), Prefix: &u.S3Key})
	if err != nil || len(left.Uploads) > 0 {
		rt.Fatalf("%s, and parts are left: %v, %v", now.State, left, err)
	}
	usage := w.usage()
	stored := usage.Stored.Minus(before.Stored)
	if now.State == upload.Available {
		if sizes != u.Size || verdicts != 1 || stored != (workspace.Amount{Bytes: u.Size, Objects: 1}) {
			rt.Fatalf("published, and %d bytes in %d verified versions are stored, %+v counted", sizes, verdicts, stored)
		}
	} else if sizes != 0 || !stored.IsZero() {
		rt.Fatalf("%s, and %d bytes are stored, %+v counted", now.State, sizes, stored)
	}
	if !usage.Reserved.IsZero() || usage.Total() != usage.Limit {
		rt.Fatalf("%s, and the usage is %+v", now.State, usage)
	}
	if told.aborted.Load() && now.State != upload.Aborted {
		rt.Fatalf("a client was told that it aborted, and the upload is %s", now.State)
	}
	if told.completed.Load() && !slices.Contains([]upload.State{upload.Available, upload.Rejected, upload.Expired}, now.State) {
		rt.Fatalf("a client was told that it completed, and the upload is %s", now.State)
	}
	return now.State
}

// TestAbortDuringCompletion: what is being completed cannot be aborted.
func TestAbortDuringCompletion(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", []byte("bytes"), nil)
	parts, err := w.calm.keeper.AllParts(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.calm.store.BeginCompletion(t.Context(), alpha, u.ID, upload.Completion{Parts: upload.PartsDigest(parts), BegunAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := w.calm.end(t.Context(), u, upload.Abort, upload.Client); !fault.Is(err, fault.Conflict) {
		t.Errorf("abort: %v, want conflict", err)
	}
	if back := w.calm.finish(t.Context(), message(u), 0); back || w.upload(u).State != upload.Uploaded {
		t.Errorf("finished as %s, handed back: %t", w.upload(u).State, back)
	}
	w.calm.ingest(t.Context(), u)
	if now := w.upload(u); now.State != upload.Available {
		t.Errorf("ended as %s", now.State)
	}
}
