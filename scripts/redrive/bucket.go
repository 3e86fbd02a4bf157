package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/limits"
)

// streamPrefix begins the keys of what stream mappings give up.
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-errors.html
const streamPrefix = "aws/lambda/"

// deadLetterBucket is a source of what lies below one prefix of the bucket.
type deadLetterBucket struct {
	label     string
	client    *s3.Client
	bucket    string
	prefix    string
	functions *functions
	// read makes a letter of an object's body.
	read func(key string, body []byte) (letter, attempt, error)
}

// attempt is how a letter is tried again.
type attempt struct {
	function string
	payload  []byte
}

func letters(client *s3.Client, bucket string, f *functions) *deadLetterBucket {
	return &deadLetterBucket{"letters", client, bucket, deadletter.Prefix, f, readLetter}
}

func stream(client *s3.Client, bucket string, f *functions) *deadLetterBucket {
	return &deadLetterBucket{"stream", client, bucket, streamPrefix, f, readBatch}
}

func (b *deadLetterBucket) name() string { return b.label }

func (b *deadLetterBucket) each(ctx context.Context, do func(letter) bool) error {
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &b.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list s3://%s/%s: %w", b.bucket, b.prefix, err)
		}
		for _, object := range page.Contents {
			l, found, err := b.letter(ctx, aws.ToString(object.Key), aws.ToTime(object.LastModified))
			if err != nil {
				return err
			}
			if found && !do(l) {
				return nil
			}
		}
	}
	return nil
}

// letter reads one object. One that is no letter is shown as what it is, so that nothing
// lies there unseen.
func (b *deadLetterBucket) letter(ctx context.Context, key string, written time.Time) (l letter, found bool, err error) {
	body, tag, err := b.get(ctx, key)
	switch {
	case missing(err):
		return l, false, nil // redriven by somebody else meanwhile
	case err != nil:
		return l, false, err
	}
	l, try, readErr := b.read(key, body)
	if readErr != nil {
		l = letter{payload: body, code: "unreadable", message: readErr.Error()}
	}
	if l.at.IsZero() {
		l.at = written
	}
	l.source, l.id, l.about = b.label, strings.TrimPrefix(key, b.prefix), append(l.about, about(l.payload)...)
	l.redrive = func(ctx context.Context) error {
		if readErr != nil {
			return readErr
		}
		if err := b.functions.invoke(ctx, try); err != nil {
			return err
		}
		return b.remove(ctx, key, tag)
	}
	return l, true, nil
}

// remove deletes a letter that was redriven, unless the function has written it anew: then
// it has failed again.
func (b *deadLetterBucket) remove(ctx context.Context, key, tag string) error {
	body, now, err := b.get(ctx, key)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return fmt.Errorf("it was handled, but not removed: %w", err)
	case now != tag:
		again, _, err := b.read(key, body)
		if err != nil {
			return errors.New("it was given up again")
		}
		return fmt.Errorf("it was given up again: %s %s", again.code, again.message)
	}
	if _, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &key}); err != nil {
		return fmt.Errorf("it was handled, but not removed: %w", err)
	}
	return nil
}

func (b *deadLetterBucket) get(ctx context.Context, key string) (body []byte, tag string, err error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		return nil, "", fmt.Errorf("read s3://%s/%s: %w", b.bucket, key, err)
	}
	defer out.Body.Close()
	// A letter holds one record, a batch what Lambda can be given at once, as a string.
	if body, err = io.ReadAll(io.LimitReader(out.Body, 4*limits.LambdaAnswerBytes)); err != nil {
		return nil, "", fmt.Errorf("read s3://%s/%s: %w", b.bucket, key, err)
	}
	return body, aws.ToString(out.ETag), nil
}

func missing(err error) bool {
	var resp *smithyhttp.ResponseError
	return errors.As(err, &resp) && resp.HTTPStatusCode() == http.StatusNotFound
}

// readLetter reads what a function wrote.
func readLetter(_ string, body []byte) (letter, attempt, error) {
	var doc deadletter.Document
	if err := json.Unmarshal(body, &doc); err != nil {
		return letter{}, attempt{}, fmt.Errorf("it is no dead letter: %w", err)
	}
	l := letter{
		at: doc.At, to: doc.Function, code: string(doc.Error.Code), message: doc.Error.Message,
		payload: doc.Record, about: []string{doc.ID},
	}
	if doc.Function == "" {
		return l, attempt{}, errors.New("the letter names no function")
	}
	payload, err := delivery(doc)
	return l, attempt{doc.Function, payload}, err
}

// readBatch reads what a stream mapping wrote.
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-errors.html
func readBatch(key string, body []byte) (letter, attempt, error) {
	var batch struct {
		RequestContext struct {
			FunctionARN string `json:"functionArn"`
			Condition   string `json:"condition"`
			Invokes     int    `json:"approximateInvokeCount"`
		} `json:"requestContext"`
		ResponseContext struct {
			FunctionError string `json:"functionError"`
		} `json:"responseContext"`
		Timestamp time.Time `json:"timestamp"`
		Info      struct {
			Size int `json:"batchSize"`
		} `json:"DDBStreamBatchInfo"`
		Payload string `json:"payload"`
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return letter{}, attempt{}, fmt.Errorf("it is no batch of a stream: %w", err)
	}
	l := letter{
		at: batch.Timestamp, to: path.Base(strings.ReplaceAll(batch.RequestContext.FunctionARN, ":", "/")), code: batch.RequestContext.Condition,
		message: strings.TrimSpace(fmt.Sprintf("%d records after %d tries %s", batch.Info.Size, batch.RequestContext.Invokes, batch.ResponseContext.FunctionError)),
		payload: []byte(batch.Payload), about: []string{key},
	}
	if batch.RequestContext.FunctionARN == "" || batch.Payload == "" {
		return l, attempt{}, errors.New("the batch names no function, or its payload is missing")
	}
	return l, attempt{batch.RequestContext.FunctionARN, []byte(batch.Payload)}, nil
}
