package s3store

import (
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

// Signer does what a client's upload needs, with sessions of a role: it signs, runs
// multipart uploads, and seals the keys of uploads that were aborted.
type Signer struct {
	*Presigner
	*Multipart
	*Sealer
}

// NewSigner returns a Signer that works as a role.
func NewSigner(cfg aws.Config, signer SignerConfig) (*Signer, error) {
	session := NewSession(sts.NewFromConfig(cfg), SessionConfig{RoleARN: signer.RoleARN, Name: signer.SessionName, Now: signer.Now})
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.Credentials = session })
	presigner, err := NewPresigner(PresignerConfig{Bucket: signer.Bucket, Client: client, Credentials: session, Now: signer.Now})
	if err != nil {
		return nil, err
	}
	return &Signer{Presigner: presigner, Multipart: NewMultipart(client, signer.Bucket), Sealer: NewSealer(client, signer.Bucket)}, nil
}
