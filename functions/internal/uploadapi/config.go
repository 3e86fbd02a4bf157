package uploadapi

import "github.com/stowage-dev/stowage/shared/boot"

// Config is what the function reads from its environment.
type Config struct {
	Table            string // STOWAGE_TABLE
	IdempotencyTable string // STOWAGE_IDEMPOTENCY_TABLE
	Bucket           string // STOWAGE_BUCKET
	SignerRoleARN    string // STOWAGE_SIGNER_ROLE_ARN
	CursorSecretARN  string // STOWAGE_CURSOR_SECRET_ARN
	// CompletionQueueURL is of the queue from which slow completions are finished:
	// STOWAGE_COMPLETION_QUEUE_URL.
	CompletionQueueURL string
}

// ParseConfig returns an error that names every variable that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Table:              s.Required("STOWAGE_TABLE"),
		IdempotencyTable:   s.Required("STOWAGE_IDEMPOTENCY_TABLE"),
		Bucket:             s.Required("STOWAGE_BUCKET"),
		SignerRoleARN:      s.Required("STOWAGE_SIGNER_ROLE_ARN"),
		CursorSecretARN:    s.Required("STOWAGE_CURSOR_SECRET_ARN"),
		CompletionQueueURL: s.Required("STOWAGE_COMPLETION_QUEUE_URL"),
	}
	return cfg, s.Err()
}
