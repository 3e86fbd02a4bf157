package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// run starts the server on a free port. A port that was free can be taken before the
// server listens, so it tries again.
func (e *Engine) run(ctx context.Context) error {
	const attempts = 3
	var err error
	for range attempts {
		if e.port, err = freePort(); err != nil {
			return err
		}
		if err = e.configure(); err != nil {
			return err
		}
		if err = e.launch(); err != nil {
			return err
		}
		if err = e.awaitReady(ctx); err == nil {
			return nil
		}
		if stopped := e.stop(); stopped != nil {
			return errors.Join(err, stopped)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// launch starts the process.
func (e *Engine) launch() error {
	if err := e.dropForeignLock(); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(e.cfg.Program, "bin", "postgres"), "-D", e.data())
	cmd.Stdout, cmd.Stderr = e.cfg.Stderr, e.cfg.Stderr
	e.user.Apply(cmd)
	process, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("run the server: %w", err)
	}
	e.server.Run(process)
	return nil
}

// dropForeignLock removes the lock file of a server that was killed when its process id
// is another program's by now: PostgreSQL would take that for the server. Whether a
// server of this cluster, or what is left of it, still runs it finds out by itself.
func (e *Engine) dropForeignLock() error {
	path := filepath.Join(e.data(), "postmaster.pid")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	pid, _, _ := strings.Cut(string(raw), "\n")
	// Nothing, where it is gone or this system does not tell.
	command, _ := os.ReadFile(filepath.Join("/proc", filepath.Base(pid), "cmdline"))
	if len(command) == 0 || strings.Contains(string(command), e.data()) {
		return nil
	}
	return os.Remove(path) //nolint:wrapcheck // it names the file
}

// awaitReady polls until the server answers, or has died.
func (e *Engine) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	process := e.server.Current()
	if process == nil {
		return errors.New("it was killed before it was ready")
	}
	for {
		conn, err := e.connect(ctx, "postgres")
		if err == nil {
			return conn.Close(ctx) //nolint:wrapcheck // a connection that was just opened
		}
		select {
		case <-process.Done():
			if cause := process.Err(); cause != nil {
				return cause
			}
			return errors.New("it exited before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", startTimeout, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// connect connects as the superuser by the socket.
func (e *Engine) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("configure a connection: %w", err)
	}
	cfg.Host, cfg.Port, cfg.Fallbacks = e.socket, uint16(e.port), nil
	cfg.User, cfg.Database = Superuser, database
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", filepath.Join(e.socket, ".s.PGSQL."+strconv.Itoa(e.port)), err)
	}
	return conn, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: %s is no TCP address", l.Addr())
	}
	return addr.Port, nil
}
