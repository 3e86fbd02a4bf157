package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/scripts/bench/catalogdb"
	"github.com/stowage-dev/stowage/scripts/bench/subject"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// smallBytes is the size of the objects of a batch.
const smallBytes = 5 << 10

// picture begins every object.
const picture = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"

// arrived is an object that S3 tells of.
type arrived struct {
	object.Location
	size int64
}

// newUpload is an upload as a client declares it.
func newUpload(workspace string, n int64) upload.Upload {
	return upload.Upload{
		Workspace: workspace, ID: ulid.Make().String(), ObjectID: ulid.Make().String(), Path: fmt.Sprintf("pictures/2026/%d.png", n),
		ContentType: "image/png", Mode: upload.Single, IfExists: upload.Fail,
		CreatedBy: catalogdb.Writer, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}
}

// put opens an upload of a small object and stores its bytes.
func (e *engines) put(ctx context.Context, workspace string, n int64) (arrived, error) {
	body := append([]byte(picture), make([]byte, smallBytes-len(picture))...)
	copy(body[len(picture):], fmt.Sprint(workspace, n))
	sum := sha256.Sum256(body)
	u := newUpload(workspace, n)
	u.Size, u.SHA256 = int64(len(body)), base64.StdEncoding.EncodeToString(sum[:])
	u, err := e.catalog.Store.OpenUpload(ctx, catalogdb.Workspace(workspace), u)
	if err != nil {
		return arrived{}, fmt.Errorf("open an upload: %w", err)
	}
	out, err := e.objects.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: aws.String(contentBucket), Key: &u.S3Key, Body: bytes.NewReader(body), ContentType: &u.ContentType, ChecksumSHA256: &u.SHA256,
	})
	if err != nil {
		return arrived{}, fmt.Errorf("put an object: %w", err)
	}
	return arrived{object.Location{Key: u.S3Key, VersionID: aws.ToString(out.VersionId)}, u.Size}, nil
}

// uploader uploads to a workspace, and tells of it as S3 does.
type uploader struct {
	engines   *engines
	workspace string
	sent      int64
}

// batches uploads batches of new objects, and returns the event of each.
func (u *uploader) batches(ctx context.Context, n int) ([][]byte, error) {
	events := make([][]byte, n)
	for i := range events {
		objects := make([]arrived, batchSize)
		for j := range objects {
			u.sent++
			var err error
			if objects[j], err = u.engines.put(ctx, u.workspace, u.sent); err != nil {
				return nil, err
			}
		}
		var err error
		if events[i], err = event(objects); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// event is a batch of messages in which S3 tells of objects.
func event(objects []arrived) ([]byte, error) {
	type fields = map[string]any
	var messages []fields
	for i, o := range objects {
		body, err := json.Marshal(fields{"Records": []fields{{
			"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": subject.Region, "eventTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			"eventName": "ObjectCreated:Put", "userIdentity": fields{"principalId": "AWS:AROAEXAMPLEID:upload-api"},
			"requestParameters": fields{"sourceIPAddress": "203.0.113.7"},
			"responseElements":  fields{"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"},
			"s3": fields{
				"s3SchemaVersion": "1.0", "configurationId": "Ingest",
				"bucket": fields{"name": contentBucket, "ownerIdentity": fields{"principalId": "A3NL1KOZZKEXAMPLE"}, "arn": "arn:aws:s3:::" + contentBucket},
				"object": fields{"key": o.Key, "size": o.size, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "versionId": o.VersionID, "sequencer": fmt.Sprintf("%018X", time.Now().UnixNano())},
			},
		}}})
		if err != nil {
			return nil, fmt.Errorf("encode a notification: %w", err)
		}
		messages = append(messages, fields{
			"messageId": ulid.Make().String(), "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", "body": string(body), "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
			"attributes":        fields{"ApproximateReceiveCount": "1", "SentTimestamp": fmt.Sprint(time.Now().UnixMilli()), "SenderId": "AIDAJXNJGGKNS7OSV23OI", "ApproximateFirstReceiveTimestamp": fmt.Sprint(time.Now().UnixMilli() + int64(i))},
			"messageAttributes": fields{}, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + subject.Region + ":123456789012:Ingest", "awsRegion": subject.Region,
		})
	}
	text, err := json.Marshal(fields{"Records": messages})
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	return text, nil
}
