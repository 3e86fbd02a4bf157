// Package operation derives, from an HTTP request to an AWS service, which API
// operation it calls, on which resource, and which IAM actions it needs.
package operation

import "net/http"

// Names of the services that are not called by their signing name.
const (
	S3              = "s3"
	DynamoDB        = "dynamodb"
	DynamoDBStreams = "streams.dynamodb"
)

// Operation is what a call does.
type Operation struct {
	Name     string // of the API: GetObject, TransactWriteItems
	Resource string // ARN of the resource that it names; "*" when it names none
	Actions  []Action
	Object   *Object // what an S3 call names; nil for another service
}

// Action is one permission that a call needs.
type Action struct {
	Name     string // s3:GetObjectVersion
	Resource string // ARN
}

// Object is what an S3 call names.
type Object struct {
	Bucket, Key, VersionID, UploadID string
	Source                           *Object // of a copy
}

// Deriver derives operations for one account and region.
type Deriver struct {
	Region, Account string
}

// Derive tells what a request does. The body may be nil where the operation can be told without.
func (d Deriver) Derive(service string, r *http.Request, body []byte) Operation { return Operation{} }
