package hostile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/shared/client"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

const workers = 32 // half of them in each of two workspaces

// load is what clients do, and what they were told about it.
type load struct {
	world *world
	plan  plan

	mu      sync.Mutex
	done    map[string]int      // operations, by what they were and how they ended
	sent    map[string]expected // uploads whose bytes S3 has acknowledged, by id
	aborted map[string]bool     // uploads whose end was acknowledged
	changes map[string][]change // deletions of each object, and their undoing
	poison  map[string]bool     // what was put on the ingest queue and no S3 would put there
	failed  map[string]int      // errors that clients saw
}

// change is a call that deletes an object, or brings it back.
type change struct {
	to      object.State
	begun   time.Time
	ended   time.Time // zero: nobody knows whether it had an effect, or will have
	refused bool      // it had none
}

// expected is what must become of an upload.
type expected string

const (
	available expected = "available"
	rejected  expected = "rejected"
)

func newLoad(w *world, p plan) *load {
	return &load{world: w, plan: p, done: map[string]int{}, sent: map[string]expected{}, aborted: map[string]bool{},
		changes: map[string][]change{}, poison: map[string]bool{}, failed: map[string]int{}}
}

func (l *load) summary() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(l.done)) {
		parts = append(parts, fmt.Sprintf("%d %s", l.done[what], what))
	}
	for _, what := range slices.Sorted(maps.Keys(l.failed)) {
		parts = append(parts, fmt.Sprintf("%d x (%s)", l.failed[what], what))
	}
	return strings.Join(parts, ", ")
}

// run does the plan's operations from several clients at once.
func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() {
			w := l.newWorker(n)
			for i := n; i < l.plan.operations; i += workers {
				w.operation(ctx, i)
			}
		})
	}
	all.Wait()
}

// worker is one client. What it does follows from the seed.
type worker struct {
	*load
	numbers *rand.Rand
	client  *client.Client
}

func (l *load) newWorker(n int) *worker {
	workspace := []string{"alpha", "beta"}[n%2]
	c, err := client.New(l.world.APIURL(), client.StaticToken(l.world.tokens[workspace]), &client.Options{Workspace: workspace, MaxAttempts: 8})
	if err != nil {
		panic(err) // the URL is the stack's own
	}
	return &worker{load: l, client: c, numbers: rand.New(rand.NewPCG(l.plan.faults.Seed, uint64(n)))}
}

func (w *worker) operation(ctx context.Context, i int) {
	what, do := "upload", w.upload
	switch dice := w.numbers.IntN(100); {
	case dice < 5:
		what, do = "poison", w.poisonous
	case dice < 17:
		what, do = "delete", w.delete
	case dice < 25:
		what, do = "undelete", w.undelete
	case dice < 28:
		what, do = "abort", w.abort
	case dice < 31:
		what, do = "lie", w.lie
	}
	err := do(ctx, i)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.done[what]++
		return
	}
	w.done[what+" of unknown end"]++
	text := err.Error()
	w.failed[text[strings.LastIndex(text, ": ")+1:]]++
}

// document is a text that no other is, for one of the paths.
func (w *worker) document(i int) (client.NewUpload, []byte) {
	body := fmt.Appendf(nil, "Operation %d.\n%s", i, strings.Repeat("All work and no play. ", w.numbers.IntN(100)))
	sum := sha256.Sum256(body)
	return client.NewUpload{
		Path: fmt.Sprintf("documents/%d.txt", w.numbers.IntN(w.plan.paths)), Size: int64(len(body)), ContentType: "text/plain",
		SHA256: base64.StdEncoding.EncodeToString(sum[:]), IfExists: "version",
	}, body
}

func (w *worker) upload(ctx context.Context, i int) error {
	u, body := w.document(i)
	return w.send(ctx, u, body, available)
}

// lie sends something else than it says.
func (w *worker) lie(ctx context.Context, i int) error {
	u, body := w.document(i)
	u.ContentType = "image/png"
	return w.send(ctx, u, body, rejected)
}

func (w *worker) send(ctx context.Context, u client.NewUpload, body []byte, want expected) error {
	opened, err := w.client.Open(ctx, u)
	if err != nil {
		return err
	}
	if err := w.client.Send(ctx, opened.Put, bytes.NewReader(body), u.Size); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[opened.Upload.ID] = want
	return nil
}

func (w *worker) abort(ctx context.Context, i int) error {
	u, _ := w.document(i)
	opened, err := w.client.Open(ctx, u)
	if err != nil {
		return err
	}
	if err := w.client.Abort(ctx, opened.Upload.ID); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aborted[opened.Upload.ID] = true
	return nil
}

// delete deletes one of the objects that the folder shows.
func (w *worker) delete(ctx context.Context, _ int) error {
	id, err := w.oneOf(w.client.Objects(ctx, "documents"))
	if id == "" {
		return err
	}
	return w.change(id, object.Deleted, func() error { return w.client.Delete(ctx, id) })
}

// undelete brings one of the objects back that were deleted last.
func (w *worker) undelete(ctx context.Context, _ int) error {
	id, err := w.oneOf(w.client.Deleted(ctx))
	if id == "" {
		return err
	}
	return w.change(id, object.Available, func() error {
		_, err := w.client.Undelete(ctx, id)
		return err
	})
}

// oneOf picks one of the first objects of a list; "" from an empty one.
func (w *worker) oneOf(list iter.Seq2[client.Object, error]) (string, error) {
	const first = 100
	var ids []string
	for o, err := range list {
		if err != nil {
			return "", err
		}
		if ids = append(ids, o.ID); len(ids) == first {
			break
		}
	}
	if len(ids) == 0 {
		return "", nil
	}
	return ids[w.numbers.IntN(len(ids))], nil
}

// change makes a call and notes what is known of its effect.
func (w *worker) change(id string, to object.State, call func() error) error {
	c := change{to: to, begun: time.Now()}
	err := call()
	var answered *client.Problem
	switch {
	case err == nil:
		c.ended = time.Now()
	case errors.As(err, &answered) && answered.Status == http.StatusConflict && answered.Code == string(fault.PathTaken):
		c.ended, c.refused = time.Now(), true
		err = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes[id] = append(w.changes[id], c)
	if c.refused {
		w.done["undelete refused: the path is taken"]++
	}
	return err
}

// poisonous sends the ingest queue what S3 would not.
func (w *worker) poisonous(ctx context.Context, i int) error {
	mark := fmt.Sprintf("poison-%d", i)
	body := mark + " is no JSON"
	if w.numbers.IntN(2) == 0 {
		body = `{"Records":[{"eventVersion":"` + mark + `"}]}`
	}
	if _, err := w.world.Broker.Send(ctx, w.world.ingestQueue(), queue.Message{Body: body}); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.poison[mark] = true
	return nil
}
