package s3store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// SessionDuration is the longest session that role chaining allows, and so what is asked
// for. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use.html
const SessionDuration = time.Hour

// AssumeRoler begins a session of a role.
type AssumeRoler interface {
	AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, opts ...func(*sts.Options)) (*sts.AssumeRoleOutput, error)
}

// SessionConfig says which role to assume.
type SessionConfig struct {
	RoleARN string
	// Name of the session, as it shows in CloudTrail.
	Name string
	Now  func() time.Time
}

// Session holds a session of the signer role and renews it at half its life, so that a
// URL signed with it can always live for at least 29 minutes. It implements
// aws.CredentialsProvider.
type Session struct {
	client AssumeRoler
	cfg    SessionConfig

	renewing sync.Mutex
	current  atomic.Pointer[session]
}

var _ aws.CredentialsProvider = (*Session)(nil)

type session struct {
	credentials aws.Credentials
	renewAt     time.Time
}

// NewSession returns a Session that has not begun: the first Retrieve does.
func NewSession(client AssumeRoler, cfg SessionConfig) *Session {
	return &Session{client: client, cfg: cfg}
}

// Retrieve returns credentials that are in the first half of their life, or, when a new
// session cannot be had, the old ones for as long as they can sign.
func (s *Session) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if held := s.current.Load(); held != nil && s.cfg.Now().Before(held.renewAt) {
		return held.credentials, nil
	}
	s.renewing.Lock()
	defer s.renewing.Unlock()
	now := s.cfg.Now()
	held := s.current.Load()
	if held != nil && now.Before(held.renewAt) {
		return held.credentials, nil
	}
	next, err := s.assume(ctx, now)
	if err != nil {
		if held != nil && held.credentials.Expires.Sub(now) > 2*sessionMargin {
			return held.credentials, nil
		}
		return aws.Credentials{}, err
	}
	s.current.Store(next)
	return next.credentials, nil
}

func (s *Session) assume(ctx context.Context, now time.Time) (*session, error) {
	out, err := s.client.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn:         aws.String(s.cfg.RoleARN),
		RoleSessionName: aws.String(s.cfg.Name),
		DurationSeconds: aws.Int32(int32(SessionDuration / time.Second)),
	})
	if err != nil {
		return nil, fmt.Errorf("assume role %s: %w", s.cfg.RoleARN, err)
	}
	if out.Credentials == nil || out.Credentials.Expiration == nil {
		return nil, fmt.Errorf("assume role %s: the answer holds no credentials with an end", s.cfg.RoleARN)
	}
	end := *out.Credentials.Expiration
	return &session{
		renewAt: now.Add(end.Sub(now) / 2),
		credentials: aws.Credentials{
			AccessKeyID:     aws.ToString(out.Credentials.AccessKeyId),
			SecretAccessKey: aws.ToString(out.Credentials.SecretAccessKey),
			SessionToken:    aws.ToString(out.Credentials.SessionToken),
			Source:          "AssumeRole",
			CanExpire:       true,
			Expires:         end,
		},
	}, nil
}
