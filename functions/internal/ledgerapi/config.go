package ledgerapi

import (
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

// Config is what the function is told by its environment.
type Config struct {
	Database pgstore.Settings
	Table    string // STOWAGE_TABLE
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{Database: pgstore.ParseSettings(s), Table: s.Required("STOWAGE_TABLE")}
	return cfg, s.Err()
}
