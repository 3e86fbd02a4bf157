package uploadapi

import "github.com/stowage-dev/stowage/shared/boot"

// Config is what the function reads from its environment.
type Config struct {
	Table           string // STOWAGE_TABLE
	Bucket          string // STOWAGE_BUCKET
	SignerRoleARN   string // STOWAGE_SIGNER_ROLE_ARN
	CursorSecretARN string // STOWAGE_CURSOR_SECRET_ARN
}

// ParseConfig returns an error that names every variable that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Table:           s.Required("STOWAGE_TABLE"),
		Bucket:          s.Required("STOWAGE_BUCKET"),
		SignerRoleARN:   s.Required("STOWAGE_SIGNER_ROLE_ARN"),
		CursorSecretARN: s.Required("STOWAGE_CURSOR_SECRET_ARN"),
	}
	return cfg, s.Err()
}
