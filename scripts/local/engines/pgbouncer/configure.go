package pgbouncer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	configFile = "pgbouncer.ini"
	usersFile  = "users.txt"
)

// configure writes the certificate and the configuration, as new as the port and the
// password are.
func (e *Engine) configure() error {
	issued, err := e.authority.Issue("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	certificate, key, err := issued.Write(e.cfg.Dir)
	if err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	users := fmt.Sprintf("%q %q\n", Admin, e.password)
	for name, content := range map[string]string{configFile: e.config(certificate, key), usersFile: users} {
		if err := os.WriteFile(filepath.Join(e.cfg.Dir, name), []byte(content), 0o600); err != nil {
			return err //nolint:wrapcheck // it names the file
		}
	}
	return e.user.Take(e.cfg.Dir)
}

func (e *Engine) config(certificate, key string) string {
	var b strings.Builder
	b.WriteString("[databases]\n")
	for _, name := range e.cfg.Databases {
		server := fmt.Sprintf("host=%s port=%d dbname=%s auth_user=%s", e.cfg.Server.Socket, e.cfg.Server.Port, name, e.cfg.Server.Superuser)
		fmt.Fprintf(&b, "%s = %s\n%s%s = %s connect_query='SET default_transaction_read_only = on'\n", name, server, name, ReaderSuffix, server)
	}
	b.WriteString("\n[pgbouncer]\n")
	for _, line := range [][2]string{
		{"listen_addr", "127.0.0.1"},
		{"listen_port", strconv.Itoa(e.port)},
		// Beside PostgreSQL's, in a directory that its owner alone may enter: TLS ends at the front.
		{"unix_socket_dir", e.cfg.Server.Socket},
		{"unix_socket_mode", "0600"},
		{"pool_mode", "transaction"},
		{"default_pool_size", strconv.Itoa(e.cfg.ServerConnections)},
		{"max_client_conn", strconv.Itoa(e.cfg.Clients)},
		{"query_wait_timeout", fmt.Sprintf("%g", e.cfg.BorrowTimeout.Seconds())},
		{"server_login_retry", fmt.Sprintf("%g", loginRetry.Seconds())},
		// The password travels in clear within TLS, as an IAM token does.
		{"auth_type", "plain"},
		{"auth_file", filepath.Join(e.cfg.Dir, usersFile)},
		{"auth_query", "SELECT rolname, '" + e.password + "' FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin"},
		{"admin_users", Admin},
		{"client_tls_sslmode", "require"},
		{"client_tls_cert_file", certificate},
		{"client_tls_key_file", key},
		{"client_tls_protocols", "secure"}, // 1.2 and later
		{"log_connections", "0"},
		{"log_disconnections", "0"},
	} {
		fmt.Fprintf(&b, "%s = %s\n", line[0], line[1])
	}
	return b.String()
}
