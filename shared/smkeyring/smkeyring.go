// Package smkeyring reads the cursor keys from AWS Secrets Manager: the current secret
// seals, the current and the previous one open, so that a rotation breaks no list.
//
// Secrets are read on first use and kept for MaxAge. A key that is not known makes it look
// again, at most once in MinAge. It needs secretsmanager:GetSecretValue on the one secret,
// and kms:Decrypt when that has a key of its own.
package smkeyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/stowage-dev/stowage/shared/cursor"
)

const (
	// MaxAge is how long a secret is used before it is read again.
	MaxAge = 10 * time.Minute
	// MinAge bounds how often an unknown key makes the secret be read.
	MinAge = 30 * time.Second
)

// SecretGetter reads one version of a secret.
type SecretGetter interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Loader is a cursor.Keys. It is safe for concurrent use.
type Loader struct {
	client   SecretGetter
	secretID string
	now      func() time.Time

	mu     sync.Mutex
	ring   *cursor.Ring
	readAt time.Time
}

var _ cursor.Keys = (*Loader)(nil)

// New returns a Loader for the secret with that ARN or name. It reads nothing yet.
func New(client SecretGetter, secretID string, now func() time.Time) *Loader {
	return &Loader{client: client, secretID: secretID, now: now}
}

// Ring returns keys that were read at most MaxAge ago, or older ones when the secret
// cannot be read just now.
func (l *Loader) Ring(ctx context.Context) (*cursor.Ring, error) {
	return l.youngerThan(ctx, MaxAge)
}

// Renew returns keys that were read at most MinAge ago.
func (l *Loader) Renew(ctx context.Context) (*cursor.Ring, error) {
	return l.youngerThan(ctx, MinAge)
}

func (l *Loader) youngerThan(ctx context.Context, age time.Duration) (*cursor.Ring, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.ring != nil && now.Sub(l.readAt) < age {
		return l.ring, nil
	}
	ring, err := l.read(ctx)
	if err != nil {
		if l.ring != nil {
			return l.ring, nil
		}
		return nil, err
	}
	l.ring, l.readAt = ring, now
	return ring, nil
}

func (l *Loader) read(ctx context.Context) (*cursor.Ring, error) {
	current, err := l.secret(ctx, "AWSCURRENT")
	if err != nil {
		return nil, err
	}
	secrets := [][]byte{current}
	previous, err := l.secret(ctx, "AWSPREVIOUS")
	var absent *types.ResourceNotFoundException
	switch {
	case err == nil:
		secrets = append(secrets, previous)
	case !errors.As(err, &absent): // before the first rotation there is none
		return nil, err
	}
	ring, err := cursor.NewRing(secrets...)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", l.secretID, err)
	}
	return ring, nil
}

func (l *Loader) secret(ctx context.Context, stage string) ([]byte, error) {
	out, err := l.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId:     aws.String(l.secretID),
		VersionStage: aws.String(stage),
	})
	if err != nil {
		return nil, fmt.Errorf("read secret %s (%s): %w", l.secretID, stage, err)
	}
	if out.SecretString != nil {
		return []byte(*out.SecretString), nil
	}
	return out.SecretBinary, nil
}
