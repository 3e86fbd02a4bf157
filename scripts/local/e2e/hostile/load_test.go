package hostile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/shared/client"
)

const (
	workers = 32 // half of them in each of two workspaces
	paths   = 20 // of a workspace
)

// load is what clients do, and what they were told about it.
type load struct {
	world *world
	plan  plan

	mu      sync.Mutex
	done    map[string]int      // operations, by what they were and how they ended
	sent    map[string]expected // uploads whose bytes S3 has acknowledged, by id
	aborted map[string]bool     // uploads whose end was acknowledged
	deleted map[string]bool     // objects whose deletion was acknowledged
	poison  map[string]bool     // what was put on the ingest queue and no S3 would put there
	failed  map[string]int      // errors that clients saw
}

// expected is what must become of an upload.
type expected string

const (
	available expected = "available"
	rejected  expected = "rejected"
)

func newLoad(w *world, p plan) *load {
	return &load{world: w, plan: p, done: map[string]int{}, sent: map[string]expected{}, aborted: map[string]bool{},
		deleted: map[string]bool{}, poison: map[string]bool{}, failed: map[string]int{}}
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
	case dice < 15:
		what, do = "delete", w.delete
	case dice < 20:
		what, do = "abort", w.abort
	case dice < 25:
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
		Path: fmt.Sprintf("documents/%d.txt", w.numbers.IntN(paths)), Size: int64(len(body)), ContentType: "text/plain",
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
	var ids []string
	for o, err := range w.client.Objects(ctx, "documents") {
		if err != nil {
			return err
		}
		ids = append(ids, o.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	id := ids[w.numbers.IntN(len(ids))]
	if err := w.client.Delete(ctx, id); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deleted[id] = true
	return nil
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
