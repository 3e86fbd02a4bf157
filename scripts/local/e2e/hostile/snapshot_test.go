package hostile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// snapshot is everything that is kept, read behind the API's back.
type snapshot struct {
	workspaces map[string]workspace.Workspace
	shards     map[string][]workspace.Shard // by workspace
	paths      map[string]object.Claim      // by workspace and path
	objects    map[string]object.Object     // by id
	versions   []object.Version
	uploads    map[string]upload.Upload // by id
	stored     map[string]stored        // bytes in the content bucket, by key and S3 version
	letters    map[string]string        // dead letters, by key
	told       map[string][]int64       // revs of each object in the order in which the bus had them
	queued     map[string]int           // messages by queue
}

// stored is one version of a key.
type stored struct {
	size   int64
	marker bool
}

func (w *world) snapshot(ctx context.Context) (*snapshot, error) {
	s := &snapshot{
		workspaces: map[string]workspace.Workspace{}, shards: map[string][]workspace.Shard{}, paths: map[string]object.Claim{},
		objects: map[string]object.Object{}, uploads: map[string]upload.Upload{}, queued: map[string]int{},
	}
	for _, q := range w.Model.Queues {
		stats, err := w.Broker.Stats(q.ARN)
		if err != nil {
			return nil, err
		}
		s.queued[q.Name] = stats.Visible + stats.InFlight + stats.Delayed
	}
	if err := w.readCatalog(ctx, s); err != nil {
		return nil, err
	}
	var err error
	if s.stored, err = w.versionsIn(ctx, w.Dev(nil).Bucket); err != nil {
		return nil, err
	}
	if s.letters, err = w.readLetters(ctx); err != nil {
		return nil, err
	}
	s.told, err = readEvents(w.Dev(nil).Events)
	return s, err
}

// readCatalog decodes every item of the table.
func (w *world) readCatalog(ctx context.Context, s *snapshot) error {
	schema := catalog.Declare()
	in := map[string]any{"TableName": w.Dev(nil).Table, "ConsistentRead": true}
	for {
		var page struct {
			Items            []catalog.Item
			LastEvaluatedKey json.RawMessage
		}
		if err := w.scan(ctx, in, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := s.add(schema, item); err != nil {
				return err
			}
		}
		if page.LastEvaluatedKey == nil {
			return nil
		}
		in["ExclusiveStartKey"] = page.LastEvaluatedKey
	}
}

// scan calls the engine itself: what the gateway does to calls is not the subject here.
func (w *world) scan(ctx context.Context, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.DynamoDB.Endpoint(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.Scan")
	r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("scan: %s: %s: %w", resp.Status, answer, err)
	}
	return json.Unmarshal(answer, out)
}

func (s *snapshot) add(schema *catalog.Schema, item catalog.Item) error {
	key := func(name string) string { return item[name].Text }
	pk, sk := key("pk"), key("sk")
	switch {
	case sk == "WORKSPACE":
		x, err := schema.Workspaces.Decode(item)
		s.workspaces[x.ID] = x
		return err
	case strings.Contains(pk, "#USAGE#"):
		x, err := schema.Shards.Decode(item)
		s.shards[x.Workspace] = append(s.shards[x.Workspace], x)
		return err
	case sk == "PATH":
		x, err := schema.Paths.Decode(item)
		s.paths[x.Workspace+"/"+x.Path] = x
		return err
	case sk == catalog.ObjectSortKey:
		x, err := schema.Objects.Decode(item)
		s.objects[x.ID] = x
		return err
	case strings.HasPrefix(sk, "V#"):
		x, err := schema.Versions.Decode(item)
		s.versions = append(s.versions, x)
		return err
	case sk == "UPLOAD":
		x, err := schema.Uploads.Decode(item)
		s.uploads[x.ID] = x
		return err
	}
	return nil // members, buckets of tokens, sweeps
}

func (w *world) s3() *awss3.Client {
	dev := w.Dev(nil)
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(dev.S3Endpoint), Region: dev.Region, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: dev.AccessKeyID, SecretAccessKey: dev.SecretAccessKey}, nil
		}),
	})
}

// versionsIn are all versions in a bucket, by key and version.
func (w *world) versionsIn(ctx context.Context, bucket string) (map[string]stored, error) {
	all := map[string]stored{}
	pages := awss3.NewListObjectVersionsPaginator(w.s3(), &awss3.ListObjectVersionsInput{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			all[aws.ToString(v.Key)+" "+aws.ToString(v.VersionId)] = stored{size: aws.ToInt64(v.Size)}
		}
		for _, m := range page.DeleteMarkers {
			all[aws.ToString(m.Key)+" "+aws.ToString(m.VersionId)] = stored{marker: true}
		}
	}
	return all, nil
}

// readLetters are the dead letters of every function.
func (w *world) readLetters(ctx context.Context) (map[string]string, error) {
	letters := map[string]string{}
	client := w.s3()
	for _, b := range w.Model.Buckets {
		if b.Name == w.Dev(nil).Bucket {
			continue
		}
		pages := awss3.NewListObjectsV2Paginator(client, &awss3.ListObjectsV2Input{Bucket: &b.Name})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, o := range page.Contents {
				got, err := client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &b.Name, Key: o.Key})
				if err != nil {
					return nil, err
				}
				body, err := io.ReadAll(got.Body)
				if err != nil {
					return nil, err
				}
				letters[b.Name+"/"+aws.ToString(o.Key)] = string(body)
			}
		}
	}
	return letters, nil
}

// readEvents gives the revs of each object in the order in which the bus took them.
func readEvents(file string) (map[string][]int64, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	told := map[string][]int64{}
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Source string `json:"source"`
			Detail struct {
				Data struct {
					ID  string `json:"id"`
					Rev int64  `json:"rev"`
				} `json:"data"`
			} `json:"detail"`
		}
		if !strings.HasSuffix(line, "\n") {
			continue // it is being written
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("event %q: %w", line, err)
		}
		if e.Source == "stowage" {
			told[e.Detail.Data.ID] = append(told[e.Detail.Data.ID], e.Detail.Data.Rev)
		}
	}
	return told, nil
}
