package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/dbtoken"
	"github.com/stowage-dev/stowage/scripts/local/engines/pgfront"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

const testRegion = "eu-central-1"

// front is an endpoint that verifies IAM tokens in front of a database.
type front struct {
	*pgfront.Front
	tokens sync.Map // that were sent
	issuer *identity.Issuer
}

func newFront(tb testing.TB, d *pgtest.Database) *front {
	tb.Helper()
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	issued, err := d.Server.Authority().Issue("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := issued.TLS()
	if err != nil {
		tb.Fatal(err)
	}
	f := &front{issuer: issuer}
	verifier := &dbtoken.Verifier{Region: testRegion, Credentials: issuer, Now: time.Now}
	f.Front = pgfront.Serve(pgfront.Config{
		Kind: pgfront.Proxy, Listener: l, Certificate: certificate,
		Backend: func() pgfront.Backend {
			return pgfront.Backend{Socket: filepath.Join(d.Server.Socket(), ".s.PGSQL."+strconv.Itoa(d.Server.Port()))}
		},
		Authenticate: func(_ context.Context, a pgfront.Attempt) error {
			f.tokens.Store(a.Password, true)
			_, err := verifier.Verify(a.Password, l.Addr().String(), a.User)
			return err
		},
	})
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

// credentials are those of a role's session.
func (f *front) credentials(tb testing.TB) aws.CredentialsProvider {
	tb.Helper()
	issued, err := f.issuer.IssueFor("arn:aws:iam::000000000000:role/Ledger", "ledger-api")
	if err != nil {
		tb.Fatal(err)
	}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey, SessionToken: issued.SessionToken}, nil
	})
}

func (f *front) config(d *pgtest.Database, role string, password pgstore.Passwords) pgstore.Config {
	cfg := d.Config(role)
	cfg.Host, cfg.Password = f.Address(), password // a port in the host wins
	return cfg
}

func TestTokens(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	f := newFront(t, d)
	var spans recorder
	good := pgstore.IAM(aws.Config{Region: testRegion, Credentials: f.credentials(t)})
	cfg := f.config(d, pgtest.Writer, good)
	cfg.Tracer = &spans
	db := pgtest.Open(t, cfg)
	if _, err := db.Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 1, ledger.Standard)}, nil); err != nil {
		t.Fatal(err)
	}
	if got := spans.text(); !strings.Contains(got, "Begin Enter AddHoldings LockHoldings Neighbours") || !strings.Contains(got, "AddQuarters Commit") && !strings.Contains(got, "AddToQuarters Commit") {
		t.Errorf("spans are %s", got)
	}
	for name, password := range map[string]pgstore.Passwords{
		"forged":  func(ctx context.Context, a, u string) (string, error) { s, err := good(ctx, a, u); return s + "0", err },
		"expired": func(ctx context.Context, a, u string) (string, error) { return expiredToken(ctx, t, f, a, u) },
		"another user's": func(ctx context.Context, a, _ string) (string, error) {
			return good(ctx, a, pgtest.Checker)
		},
		"another endpoint's": func(ctx context.Context, _, u string) (string, error) { return good(ctx, "db.example:5432", u) },
		"another region's":   pgstore.IAM(aws.Config{Region: "us-east-1", Credentials: f.credentials(t)}),
		"none":               func(context.Context, string, string) (string, error) { return "", nil },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := f.config(d, pgtest.Writer, password)
			cfg.Patience = 20 * time.Second
			begun := time.Now()
			db := pgtest.Open(t, cfg)
			_, err := db.Book(t.Context(), []ledger.Fact{fact("alpha", "O", 2, 0, 1, ledger.Standard)}, nil)
			if err == nil || fault.Transient(err) || !strings.Contains(err.Error(), "28P01") {
				t.Errorf("error is %v, want a refusal for good", err)
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("it took %s: no repetition makes a token good", took)
			}
			f.noTokenIn(t, fmt.Sprint(err), spans.text(), logOf(err))
		})
	}
}

// expiredToken signs as BuildAuthToken would have 16 minutes ago.
func expiredToken(ctx context.Context, tb testing.TB, f *front, address, user string) (string, error) {
	tb.Helper()
	return presignAt(ctx, f.credentials(tb), address, user, time.Now().Add(-16*time.Minute))
}

func (f *front) noTokenIn(tb testing.TB, texts ...string) {
	tb.Helper()
	f.tokens.Range(func(token, _ any) bool {
		if s, ok := token.(string); ok && len(s) > 10 {
			for _, text := range texts {
				if strings.Contains(text, s) || strings.Contains(text, "X-Amz-Signature") {
					tb.Errorf("a token is in %.60q…", text)
				}
			}
		}
		return true
	})
}

func logOf(err error) string {
	var b bytes.Buffer
	observe.NewLogger(&b, slog.LevelDebug).Error("failed", "error", err)
	return b.String()
}

// recorder keeps the names of spans and their errors.
type recorder struct {
	mu    sync.Mutex
	names []string
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.names, "; ")
}

func (r *recorder) Start(ctx context.Context, name string) (context.Context, observe.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
	return ctx, recorded{r}
}

type recorded struct{ r *recorder }

func (s recorded) Annotate(string, any) {}

func (s recorded) End(err error) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.names = append(s.r.names, fmt.Sprint(err))
}

func TestWrongAuthority(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	other, err := authority.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*pgstore.Config){
		"another authority":      func(c *pgstore.Config) { c.Roots = other.Pool() },
		"the system's authority": func(c *pgstore.Config) { c.Roots = nil },
	} {
		cfg := d.Config(pgtest.Writer)
		change(&cfg)
		begun := time.Now()
		_, err := pgtest.Open(t, cfg).Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 1, ledger.Standard)}, nil)
		if err == nil || fault.Transient(err) || !pgstore.Untrusted(err) || time.Since(begun) > 15*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(begun))
		}
	}
}

// TestPoolIsExhausted: who finds no connection is told to come again, in time.
func TestPoolIsExhausted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	cfg := d.Config(pgtest.Writer)
	cfg.MaxConns, cfg.Patience = 1, 400*time.Millisecond
	db := pgtest.Open(t, cfg)
	one := []ledger.Fact{fact("alpha", "O", 1, 0, 1, ledger.Standard)}
	lock, err := d.Admin(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE stowage.holdings"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			begun := time.Now()
			_, err := db.Book(t.Context(), one, nil)
			if !fault.Is(err, fault.Unavailable) || time.Since(begun) > 20*time.Second {
				t.Errorf("%v after %s, want Unavailable at once", err, time.Since(begun))
			}
			var coded *fault.Error
			if errors.As(err, &coded) && coded.Details["retryAfter"] == nil {
				t.Error("it does not say when to come again")
			}
		})
	}
	wg.Wait()
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	patient := d.Open(t, pgtest.Writer)
	if _, err := patient.Book(t.Context(), one, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestDatabaseThatDoesNotAnswer is one that takes connections and says nothing, as a cluster
// at 0 ACU does while it wakes up: a 503 within the patience, not a hang.
func TestDatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := pgtest.New(t)
	cfg := d.Config(pgtest.API)
	cfg.Host = l.Addr().String()
	cfg.Patience, cfg.ConnectTimeout = time.Second, 300*time.Millisecond
	begun := time.Now()
	_, _, err = pgtest.Open(t, cfg).Entries(t.Context(), "alpha", pgstore.EntryFilter{}, 0, 10)
	var coded *fault.Error
	if !errors.As(err, &coded) || coded.Code != fault.Unavailable || coded.Details["retryAfter"] == nil || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

// forwarder passes TCP connections on. Frozen, those that there are stay open and say nothing
// any more, as after a failover or for a function that was frozen; new ones are passed on.
type forwarder struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns []net.Conn
	stop  chan struct{} // closed: what has begun passes nothing on any more
}

func newForwarder(tb testing.TB, to string) *forwarder {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &forwarder{listener: l, to: to, stop: make(chan struct{})}
	go f.accept()
	tb.Cleanup(f.close)
	return f
}

func (f *forwarder) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
}

func (f *forwarder) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", f.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.conns = append(f.conns, client, server)
		stop := f.stop
		f.mu.Unlock()
		go pump(client, server, stop)
		go pump(server, client, stop)
	}
}

func (f *forwarder) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.stop)
	f.stop = make(chan struct{})
}

// pump passes bytes on until it is stopped, and swallows them from then on.
func pump(to, from net.Conn, stop chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-stop:
			if err != nil {
				return
			}
			continue
		default:
		}
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// TestSilentlyDeadConnection: a connection whose flow died while it was idle is given up
// within a second or so, and the call gets through on another one.
func TestSilentlyDeadConnection(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	direct := d.Config(pgtest.API)
	f := newForwarder(t, net.JoinHostPort(direct.Host, direct.Port))
	cfg := direct
	cfg.Host = f.listener.Addr().String()
	cfg.MaxConns, cfg.Patience = 2, time.Minute // as many as a function has
	db := pgtest.Open(t, cfg)
	defer f.close() // before the pool closes, which waits for an answer to its farewell
	read := func() time.Duration {
		t.Helper()
		begun := time.Now()
		if _, _, err := db.Entries(t.Context(), "alpha", pgstore.EntryFilter{}, 0, 10); err != nil {
			t.Fatal(err)
		}
		return time.Since(begun)
	}
	read()
	time.Sleep(1100 * time.Millisecond) // what was used within the last second is not looked at
	f.freeze()
	if took := read(); took > cfg.Patience/4 {
		t.Errorf("it took %s", took)
	}
}

// TestThroughAPooler: a pooler in transaction mode, which refuses session state, serves all.
func TestThroughAPooler(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	pooler := d.Pool(t, 4, 100)
	writer, db := pgtest.Open(t, pooler.Config(pgtest.Writer)), pgtest.Open(t, pooler.Config(pgtest.API))
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			ws := fmt.Sprintf("ws-%d", i%3)
			if _, err := writer.Book(t.Context(), []ledger.Fact{fact(ws, fmt.Sprintf("O%d", i), 1, 0, 1, ledger.Standard)}, toDocs(document(ws, fmt.Sprintf("O%d", i), 1, "A", "report"))); err != nil {
				t.Error(err)
			}
			entries, _, err := db.Entries(t.Context(), ws, pgstore.EntryFilter{}, 0, 1000)
			if err != nil {
				t.Error(err)
			}
			for _, e := range entries {
				if e.Workspace != ws {
					t.Errorf("%s is told of %s", ws, e.Workspace)
				}
			}
			if _, _, err := db.Find(t.Context(), ws, parse(t, "report"), pgstore.FindFilter{}, nil, 10); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// pass waits until n more writes were acknowledged.
func pass(t *testing.T, acks *atomic.Int64, n int64) {
	t.Helper()
	before := acks.Load()
	for deadline := time.Now().Add(time.Minute); acks.Load() < before+n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d writes were acknowledged within a minute, want %d", acks.Load()-before, n)
		}
	}
}

// TestKilledInTheMiddle kills database and pooler under writers: what was acknowledged is
// there, nothing is there twice, and who was not acknowledged may simply ask again.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	server, err := pgtest.Start(ctx, t.TempDir(), map[string]string{"max_connections": "100"}) // with fsync
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	d, err := server.Create(t.Context(), migrations.Latest())
	if err != nil {
		t.Fatal(err)
	}
	pooler := d.Pool(t, 10, 100)
	cfg := pooler.Config(pgtest.API)
	cfg.MaxConns = 20
	db := pgtest.Open(t, cfg)
	writer := pgtest.Open(t, pooler.Config(pgtest.Writer))
	var acknowledged sync.Map // journals
	var acks atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				id, ws := fmt.Sprintf("A-%d-%d", w, n), fmt.Sprintf("ws-%d", w)
				var err error
				if w%2 == 0 {
					a := adjustment(id, 1)
					a.Workspace = ws
					_, _, err = db.Adjust(t.Context(), a, key(id))
				} else { // each takes the word from the one before
					doc := document(ws, "O", int64(n+1), "A", "word"+strings.Repeat("x", n%5))
					_, err = writer.Book(t.Context(), []ledger.Fact{fact(ws, id, 1, 0, 1, ledger.Standard)}, toDocs(doc))
					id += ".1"
				}
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				acknowledged.Store(id, true)
				acks.Add(1)
			}
		})
	}
	defer func() {
		stop.Store(true)
		wg.Wait()
	}()
	const between = 10 // writes that pass before the next kill
	for round := range 4 {
		pass(t, &acks, between)
		if round%2 == 0 {
			err = server.Restart(t.Context())
		} else {
			err = pooler.Restart(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	}
	pass(t, &acks, between)
	stop.Store(true)
	wg.Wait()
	admin, err := server.Admin(t.Context(), d.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	rows, err := admin.Query(t.Context(), "SELECT journal, count(*) FROM stowage.entries GROUP BY journal")
	if err != nil {
		t.Fatal(err)
	}
	booked := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		booked[id] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	acknowledged.Range(func(id, _ any) bool {
		if s, ok := id.(string); ok && booked[s] != 2 {
			t.Errorf("%v was acknowledged and has %d entries", id, booked[s])
		}
		return true
	})
	for id, n := range booked {
		if n != 2 {
			t.Errorf("%s has %d entries", id, n)
		}
	}
	var lost int
	must(t, admin.QueryRow(t.Context(), `SELECT count(*) FROM stowage.documents d
		WHERE NOT EXISTS (SELECT FROM stowage.words w WHERE w.workspace = d.workspace AND w.word = d.name_words)`).Scan(&lost))
	if lost > 0 {
		t.Errorf("the words of %d documents are not known", lost)
	}
	if off, err := d.Open(t, pgtest.Checker).Imbalances(t.Context()); err != nil || len(off) > 0 {
		t.Errorf("imbalances: %+v, %v", off, err)
	}
}
