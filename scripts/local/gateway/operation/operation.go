// Package operation derives, from an HTTP request to an AWS service, which API
// operation it calls, on which resource, and which IAM actions on which
// resources that takes.
//
// The actions are those of the Service Authorization Reference
// (https://docs.aws.amazon.com/service-authorization/latest/reference/) and, for
// S3, of "Required permissions for Amazon S3 API operations"
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html):
// they differ with a version id, with tags, locks and ACLs that a request
// carries, and with the source of a copy.
package operation

import (
	"net/http"
	"strings"
)

// Names of the services that are told apart though they share a signing name, and of those that the
// gateway treats apart. Any other service goes by its signing name.
const (
	S3              = "s3"
	DynamoDB        = "dynamodb"
	DynamoDBStreams = "streams.dynamodb"
)

// Any is the resource of an action that has none.
const Any = "*"

// Operation is what a call does.
type Operation struct {
	Name     string // of the API: GetObject, TransactWriteItems; empty when it cannot be told: then nothing permits it
	Resource string // ARN of the resource that it names; Any when it names none
	Actions  []Action
	Object   *Object // what an S3 call names; nil for another service
}

// Action is one permission that a call needs.
type Action struct {
	Name     string  // s3:GetObjectVersion
	Resource string  // ARN
	Object   *Object // of S3
}

// Object is what an S3 call, or one of its actions, is about. Key is empty for a bucket, all of it for
// the list of buckets.
type Object struct {
	Bucket, Key string
	VersionID   string // empty: the newest
	UploadID    string
}

// ARN is the object's, or the bucket's.
func (o Object) ARN() string {
	switch {
	case o.Bucket == "":
		return Any
	case o.Key == "":
		return "arn:aws:s3:::" + o.Bucket
	}
	return "arn:aws:s3:::" + o.Bucket + "/" + o.Key
}

// Deriver derives operations for one account and region. It is safe for concurrent use.
type Deriver struct {
	region, account string
	bucket, object  []subresource
	secretARN       func(name string) string
}

// Config configures a Deriver.
type Config struct {
	Region, Account string
	// SecretARN gives the ARN of the secret with a name, which ends in six characters that cannot be
	// derived; empty for none. Nil: there are none.
	SecretARN func(name string) string
}

// New makes a Deriver.
func New(cfg Config) *Deriver {
	d := &Deriver{
		region: cfg.Region, account: cfg.Account,
		bucket: bucketSubresources(), object: objectSubresources(),
		secretARN: cfg.SecretARN,
	}
	if d.secretARN == nil {
		d.secretARN = func(string) string { return "" }
	}
	return d
}

// Service is the service that a signing name and a request mean.
func Service(signingName string, r *http.Request) string {
	if signingName == DynamoDB && strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDBStreams_") {
		return DynamoDBStreams
	}
	return signingName
}

// NeedsBody says whether a request's body must be at hand to derive its operation or the condition keys
// of its actions. The others may be large.
func (d *Deriver) NeedsBody(service string, r *http.Request) bool {
	if service != S3 {
		return true
	}
	switch d.s3Name(r) {
	case "CompleteMultipartUpload", "DeleteObjects", "PutObjectTagging":
		return true
	}
	return false
}

// Derive tells what a request does. Body is the whole body of a request that NeedsBody.
func (d *Deriver) Derive(service string, r *http.Request, body []byte) Operation {
	switch service {
	case S3:
		return d.s3(r, body)
	case "sts":
		return d.sts(r, body)
	case "lambda":
		return d.lambda(r)
	}
	return d.json(service, r, body)
}

// arn is the ARN of a resource of this account and region.
func (d *Deriver) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + d.region + ":" + d.account + ":" + resource
}

// one is an operation with one action of the same service and resource.
func one(name, action, resource string) Operation {
	return Operation{Name: name, Resource: resource, Actions: []Action{{Name: action, Resource: resource}}}
}
