package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// provision creates the roles that RDS has, the master user and the databases. It
// changes nothing of what exists but the passwords.
func (e *Engine) provision(ctx context.Context) error {
	conn, err := e.connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	master := pgx.Identifier{e.cfg.Master}.Sanitize()
	statements := slices.Concat(
		createRole("rds_superuser", "NOLOGIN"),
		createRole("rds_iam", "NOLOGIN"),
		createRole(e.cfg.Master, "LOGIN CREATEDB CREATEROLE"),
		[]string{
			// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Appendix.PostgreSQL.CommonDBATasks.Roles.html
			"GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION",
			"GRANT rds_superuser TO " + master,
			"GRANT rds_iam TO " + master + " WITH ADMIN OPTION",
			"ALTER ROLE " + master + " PASSWORD " + quote(e.password),
			"ALTER ROLE " + Superuser + " PASSWORD " + quote(e.password),
		})
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("create the roles: %w", err)
		}
	}
	for _, database := range e.cfg.Databases {
		if err := createDatabase(ctx, conn, database, master); err != nil {
			return err
		}
	}
	return nil
}

func createRole(name, options string) []string {
	role := pgx.Identifier{name}.Sanitize()
	return []string{
		"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = " + quote(name) + ") THEN CREATE ROLE " + role + "; END IF; END $$",
		"ALTER ROLE " + role + " " + options,
	}
}

func createDatabase(ctx context.Context, conn *pgx.Conn, name, owner string) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
		return fmt.Errorf("look for database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" OWNER "+owner); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// quote is for names and passwords of the runtime's own: no standard string holds a
// backslash escape.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
