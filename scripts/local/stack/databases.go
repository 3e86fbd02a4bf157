package stack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/dbtoken"
	"github.com/stowage-dev/stowage/scripts/local/engines/pgbouncer"
	"github.com/stowage-dev/stowage/scripts/local/engines/pgfront"
	"github.com/stowage-dev/stowage/scripts/local/engines/postgres"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// readOnly is what connections through a reader begin with.
const readOnly = "-c default_transaction_read_only=on"

// Database is a cluster that runs, with what stands in front of it.
type Database struct {
	Declared *template.Database
	Engine   *postgres.Engine
	// Pooler stands for the RDS Proxies. Nil without one, and where this machine has no
	// pgbouncer: they lead straight to the server then.
	Pooler *pgbouncer.Engine
	Fronts []*pgfront.Front
}

// Pause has the database sleep, as one of 0 ACUs does when nobody is connected: whoever
// connects next wakes it and waits for that long.
func (db *Database) Pause(wake time.Duration) {
	for _, f := range db.Fronts {
		f.Pause(wake)
	}
}

// databaseName is an endpoint's key among the listeners.
func databaseName(stack, logicalID, attribute string) string {
	return "the database " + stack + "/" + logicalID + " " + attribute
}

// reserveDatabase takes a port for one endpoint of a database or a proxy.
func (s *Stack) reserveDatabase(stack, logicalID, attribute string) (string, error) {
	name := databaseName(stack, logicalID, attribute)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", name, err)
	}
	s.hold(name, l)
	return l.Addr().String(), nil
}

// startDatabases runs a server for each cluster that the templates declare.
func (s *Stack) startDatabases(ctx context.Context) error {
	if len(s.Model.Databases) == 0 {
		return nil
	}
	var err error
	if s.authority, err = authority.Open(s.state.data("authority")); err != nil {
		return err
	}
	for _, declared := range s.Model.Databases {
		if err := s.startDatabase(ctx, declared); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) startDatabase(ctx context.Context, declared *template.Database) error {
	log, err := s.logFile("postgres-" + declared.Identifier)
	if err != nil {
		return err
	}
	db := &Database{Declared: declared}
	db.Engine, err = postgres.Start(ctx, postgres.Config{
		Dir: s.state.data("postgres", declared.Identifier), Program: postgres.Program(s.cfg.NodeModules), Master: declared.Master,
		Databases: []string{declared.Name}, Settings: declared.Settings, Authority: s.authority, Logger: s.cfg.Logger, Stderr: log,
	})
	if err != nil {
		return err
	}
	s.onClose("the PostgreSQL engine", db.Engine.Close)
	s.watch(db.Engine.Wait())
	s.Databases = append(s.Databases, db)
	if err := s.startPooler(ctx, db); err != nil {
		return err
	}
	return s.serveDatabase(db)
}

// startPooler runs what stands for the proxies of a database.
func (s *Stack) startPooler(ctx context.Context, db *Database) error {
	proxies := s.proxiesOf(db)
	if len(proxies) == 0 {
		return nil
	}
	program, err := pgbouncer.Find()
	if errors.Is(err, pgbouncer.ErrMissing) {
		if os.Getenv("CI") == "true" {
			return fmt.Errorf("%s: %w", proxies[0].ConstructPath, err)
		}
		s.progress.say("%s: %v; until then connections lead straight to PostgreSQL, which takes what RDS Proxy would pin a connection for", proxies[0].ConstructPath, err)
		return nil
	}
	if err != nil {
		return err
	}
	log, err := s.logFile("pgbouncer-" + db.Declared.Identifier)
	if err != nil {
		return err
	}
	const serverConnections = 100 // of PostgreSQL, by default
	db.Pooler, err = pgbouncer.Start(ctx, pgbouncer.Config{
		Dir: s.state.data("pgbouncer", db.Declared.Identifier), Program: program, Authority: s.authority, Stderr: log,
		Server:            pgbouncer.Server{Socket: db.Engine.Socket(), Port: db.Engine.Port(), Superuser: postgres.Superuser},
		Databases:         []string{db.Declared.Name},
		ServerConnections: max(1, serverConnections*proxies[0].MaxConnectionsPercent/100/poolerRoles),
		BorrowTimeout:     proxies[0].BorrowTimeout,
	})
	if err != nil {
		return err
	}
	s.onClose("the database's pooler", db.Pooler.Close)
	s.watch(db.Pooler.Wait())
	return nil
}

// poolerRoles is by how many roles and databases the connections of the server are
// divided: pgbouncer counts them for each pair.
const poolerRoles = 8

func (s *Stack) proxiesOf(db *Database) []*template.DatabaseProxy {
	return slices.DeleteFunc(slices.Clone(s.Model.Proxies), func(p *template.DatabaseProxy) bool { return p.Cluster != db.Declared.Identifier })
}

// endpoint is one address at which a database is reached.
type endpoint struct {
	address  string
	kind     pgfront.Kind
	proxy    *template.DatabaseProxy // nil: the cluster's own
	readOnly bool
}

func (s *Stack) serveDatabase(db *Database) error {
	endpoints := []endpoint{{address: db.Declared.Writer, kind: pgfront.Cluster}, {address: db.Declared.Reader, kind: pgfront.Cluster, readOnly: db.Declared.Instances > 1}}
	for _, p := range s.proxiesOf(db) {
		endpoints = append(endpoints, endpoint{address: p.Endpoint, proxy: p})
		for _, e := range p.Endpoints {
			endpoints = append(endpoints, endpoint{address: e.Address, proxy: p, readOnly: e.ReadOnly})
		}
	}
	issued, err := s.authority.Issue("127.0.0.1")
	if err != nil {
		return err
	}
	certificate, err := issued.TLS()
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		if err := s.serveEndpoint(db, e, certificate); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) serveEndpoint(db *Database, e endpoint, certificate tls.Certificate) error {
	var listener net.Listener
	for _, l := range s.listeners {
		if l.Addr().String() == e.address {
			listener = l
		}
	}
	if listener == nil {
		return fmt.Errorf("serve the database %s: nobody listens on %s", db.Declared.ConstructPath, e.address)
	}
	front := pgfront.Serve(pgfront.Config{
		Kind: e.kind, Listener: listener, Certificate: certificate, Logger: s.cfg.Logger,
		Backend:      func() pgfront.Backend { return backend(db, e) },
		Authenticate: func(ctx context.Context, a pgfront.Attempt) error { return s.permitConnection(ctx, db, e, a) },
	})
	db.Fronts = append(db.Fronts, front)
	s.onClose("the database's endpoint "+e.address, front.Close)
	return nil
}

func backend(db *Database, e endpoint) pgfront.Backend {
	if e.proxy != nil && db.Pooler != nil {
		b := pgfront.Backend{Socket: db.Pooler.Socket(), Password: db.Pooler.Password()}
		if e.readOnly {
			b.DatabaseSuffix = pgbouncer.ReaderSuffix
		}
		return b
	}
	b := pgfront.Backend{Socket: filepath.Join(db.Engine.Socket(), ".s.PGSQL."+strconv.Itoa(db.Engine.Port()))}
	if e.readOnly {
		b.Options = readOnly
	}
	return b
}

// permitConnection asks whether who signed a token may connect as the user, and through a
// proxy whether the proxy may too.
func (s *Stack) permitConnection(ctx context.Context, db *Database, e endpoint, a pgfront.Attempt) error {
	verifier := dbtoken.Verifier{Region: s.region, Credentials: s.credentials, Now: s.cfg.Now}
	caller, err := verifier.Verify(a.Password, e.address, a.User)
	if err != nil {
		return err
	}
	to := db.Declared.ResourceID
	if e.proxy != nil {
		to = e.proxy.ResourceID
	}
	if err := s.permitUser(ctx, caller, to, a.User); err != nil || e.proxy == nil {
		return err
	}
	return s.permitUser(ctx, s.session(e.proxy.RoleARN, "rds-proxy"), db.Declared.ResourceID, a.User)
}

func (s *Stack) permitUser(ctx context.Context, caller *gateway.Caller, resourceID, user string) error {
	arn := "arn:aws:rds-db:" + s.region + ":" + s.account + ":dbuser:" + resourceID + "/" + user
	return s.permit(ctx, authorize.Inner{Caller: caller, Action: "rds-db:connect", Resource: arn})
}

// trust makes functions trust the local databases' certificates, beside those of the system.
func (s *Stack) trust(env map[string]string) map[string]string {
	if s.authority != nil {
		env["SSL_CERT_FILE"] = s.authority.Path()
	}
	return env
}
