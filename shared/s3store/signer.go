package s3store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// SignerConfig says for which bucket, and as which role, URLs are signed.
type SignerConfig struct {
	Bucket      string
	RoleARN     string
	SessionName string // as it shows in CloudTrail
	Now         func() time.Time
}

// NewSigner returns a Presigner that signs with sessions of a role.
func NewSigner(ctx context.Context, cfg aws.Config, signer SignerConfig) (*Presigner, error) {
	return NewPresigner(ctx, PresignerConfig{
		Bucket:      signer.Bucket,
		Client:      s3.NewFromConfig(cfg),
		Credentials: NewSession(sts.NewFromConfig(cfg), SessionConfig{RoleARN: signer.RoleARN, Name: signer.SessionName, Now: signer.Now}),
		Now:         signer.Now,
	})
}
