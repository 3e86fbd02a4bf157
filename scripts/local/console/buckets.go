package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// pageVersions is how many versions the page shows at once.
const pageVersions = 100

// ObjectStore reads buckets. *s3.Client is one.
type ObjectStore interface {
	ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput, opts ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error)
	HeadObject(ctx context.Context, in *s3.HeadObjectInput, opts ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	GetObject(ctx context.Context, in *s3.GetObjectInput, opts ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	GetObjectTagging(ctx context.Context, in *s3.GetObjectTaggingInput, opts ...func(*s3.Options)) (*s3.GetObjectTaggingOutput, error)
}

// Bucket is a bucket to show.
type Bucket struct {
	Name string
	Note string // what it is for, when that can be told
}

// Version is one version of an object.
type Version struct {
	Key       string    `json:"key"`
	VersionID string    `json:"versionId"`
	Latest    bool      `json:"latest"`
	Deleted   bool      `json:"deleted,omitempty"` // it is a delete marker
	Bytes     int64     `json:"bytes"`
	Modified  time.Time `json:"modified"`
	ETag      string    `json:"etag,omitempty"`
}

// Versions is a page of a bucket.
type Versions struct {
	Versions  []Version `json:"versions"`
	NextKey   string    `json:"nextKey,omitempty"` // empty: this is the last page
	NextAfter string    `json:"nextVersion,omitempty"`
}

func (c *Console) bucketNamed(r *http.Request) bool {
	return slices.ContainsFunc(c.shown.Load().Buckets, func(b Bucket) bool { return b.Name == r.PathValue("name") })
}

func (c *Console) serveObjects(w http.ResponseWriter, r *http.Request) {
	if !c.bucketNamed(r) {
		fail(w, http.StatusNotFound, "There is no bucket of this name.")
		return
	}
	q := r.URL.Query()
	in := &s3.ListObjectVersionsInput{Bucket: aws.String(r.PathValue("name")), MaxKeys: aws.Int32(pageVersions)}
	for value, into := range map[string]**string{q.Get("prefix"): &in.Prefix, q.Get("key"): &in.KeyMarker, q.Get("version"): &in.VersionIdMarker} {
		if value != "" {
			*into = aws.String(value)
		}
	}
	out, err := c.cfg.Objects.ListObjectVersions(r.Context(), in)
	if err != nil {
		c.failed(w, r, fmt.Errorf("list %s: %w", *in.Bucket, err))
		return
	}
	page := Versions{Versions: make([]Version, 0, len(out.Versions)+len(out.DeleteMarkers))}
	for _, v := range out.Versions {
		page.Versions = append(page.Versions, Version{
			Key: aws.ToString(v.Key), VersionID: aws.ToString(v.VersionId), Latest: aws.ToBool(v.IsLatest), Bytes: aws.ToInt64(v.Size),
			Modified: aws.ToTime(v.LastModified), ETag: strings.Trim(aws.ToString(v.ETag), `"`),
		})
	}
	for _, d := range out.DeleteMarkers {
		page.Versions = append(page.Versions, Version{
			Key: aws.ToString(d.Key), VersionID: aws.ToString(d.VersionId), Latest: aws.ToBool(d.IsLatest), Deleted: true, Modified: aws.ToTime(d.LastModified),
		})
	}
	slices.SortStableFunc(page.Versions, func(a, b Version) int {
		if byKey := strings.Compare(a.Key, b.Key); byKey != 0 {
			return byKey
		}
		return b.Modified.Compare(a.Modified)
	})
	if aws.ToBool(out.IsTruncated) {
		page.NextKey, page.NextAfter = aws.ToString(out.NextKeyMarker), aws.ToString(out.NextVersionIdMarker)
	}
	c.answer(w, page)
}

// ObjectDetail is what the page shows of one version.
type ObjectDetail struct {
	ContentType string            `json:"contentType"`
	Bytes       int64             `json:"bytes"`
	ETag        string            `json:"etag"`
	Modified    time.Time         `json:"modified"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Tags        map[string]string `json:"tags"`
	Storage     string            `json:"storage,omitempty"`
}

func (c *Console) serveObject(w http.ResponseWriter, r *http.Request) {
	if !c.bucketNamed(r) {
		fail(w, http.StatusNotFound, "There is no bucket of this name.")
		return
	}
	bucket, key := aws.String(r.PathValue("name")), aws.String(r.URL.Query().Get("key"))
	version := versionOf(r)
	head, err := c.cfg.Objects.HeadObject(r.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key, VersionId: version})
	if err != nil {
		c.failed(w, r, fmt.Errorf("look at s3://%s/%s: %w", *bucket, *key, err))
		return
	}
	tags, err := c.cfg.Objects.GetObjectTagging(r.Context(), &s3.GetObjectTaggingInput{Bucket: bucket, Key: key, VersionId: version})
	if err != nil {
		c.failed(w, r, fmt.Errorf("read the tags of s3://%s/%s: %w", *bucket, *key, err))
		return
	}
	detail := ObjectDetail{
		ContentType: aws.ToString(head.ContentType), Bytes: aws.ToInt64(head.ContentLength), ETag: strings.Trim(aws.ToString(head.ETag), `"`),
		Modified: aws.ToTime(head.LastModified), Metadata: head.Metadata, Tags: map[string]string{}, Storage: string(head.StorageClass),
	}
	for _, t := range tags.TagSet {
		detail.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	c.answer(w, detail)
}

// versionOf is the version that the page asks for; nil: the only one.
func versionOf(r *http.Request) *string {
	if v := r.URL.Query().Get("version"); v != "" && v != "null" {
		return &v
	}
	return nil
}

// Content is the beginning of an object.
type Content struct {
	Text  string `json:"text,omitempty"` // empty: it is not text
	Whole bool   `json:"whole"`
}

func (c *Console) serveContent(w http.ResponseWriter, r *http.Request) {
	if !c.bucketNamed(r) {
		fail(w, http.StatusNotFound, "There is no bucket of this name.")
		return
	}
	bucket, key := r.PathValue("name"), r.URL.Query().Get("key")
	out, err := c.cfg.Objects.GetObject(r.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key, VersionId: versionOf(r)})
	if err != nil {
		c.failed(w, r, fmt.Errorf("read s3://%s/%s: %w", bucket, key, err))
		return
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxBody))
	if err != nil {
		c.failed(w, r, fmt.Errorf("read s3://%s/%s: %w", bucket, key, err))
		return
	}
	content := Content{Whole: int64(len(body)) == aws.ToInt64(out.ContentLength)}
	if text := strings.ToValidUTF8(string(body), ""); len(body)-len(text) < utf8.UTFMax && !strings.ContainsRune(text, 0) {
		content.Text = text // the end may have cut a character
	}
	c.answer(w, content)
}
