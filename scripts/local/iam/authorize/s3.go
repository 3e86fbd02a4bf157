package authorize

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/gateway/sigv4"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// s3Keys adds the keys of "Actions, resources, and condition keys for Amazon S3". It also says whether an
// object is read that is not there, for which GetObject and its kin ask for s3:ListBucket too.
func (a *Authorizer) s3Keys(ctx context.Context, c *gateway.Call, action operation.Action, keys iam.Context) (missing bool, err error) {
	request := parametersOf(c.Request)
	keys.Set("s3:ResourceAccount", a.cfg.Account)
	keys.Set("s3:TlsVersion", "1.3")
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if v, ok := request.query[name]; ok {
			keys.Set("s3:"+name, v)
		}
	}
	if action.Object != nil && action.Object.VersionID != "" {
		keys.Set("s3:versionid", action.Object.VersionID)
	}
	for _, h := range a.headers {
		if v := h.in(request); v != "" {
			keys[h.key] = []string{v}
		}
	}
	a.s3Authentication(c, keys)
	switch c.Name {
	case "PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject":
		keys.Set("s3:ObjectCreationOperation", "true")
	case "CreateMultipartUpload", "UploadPart", "UploadPartCopy":
		keys.Set("s3:ObjectCreationOperation", "false")
	}
	if err := requestTags(c, request, action, keys); err != nil {
		return false, err
	}
	found, err := a.existingTags(ctx, action, keys)
	return err == nil && !found && slices.Contains([]string{"GetObject", "HeadObject", "GetObjectAttributes"}, c.Name), err
}

// s3Header is a header that is a condition key.
type s3Header struct {
	canonical, name string // as Go and as a query have it
	key             string
}

func s3HeaderKeys() []s3Header {
	var list []s3Header
	for _, name := range s3Headers() {
		key := name
		if strings.HasPrefix(name, "x-amz-object-lock-") {
			key = strings.TrimPrefix(name, "x-amz-")
		}
		list = append(list, s3Header{canonical: http.CanonicalHeaderKey(name), name: name, key: "s3:" + key})
	}
	return list
}

func (h s3Header) in(p parameters) string {
	if v := p.header[h.canonical]; len(v) > 0 && v[0] != "" {
		return v[0]
	}
	return p.query[h.name]
}

// s3Headers are the headers, or query parameters of a presigned URL, that are condition keys.
func s3Headers() []string {
	return []string{
		"if-match", "if-none-match", "x-amz-acl", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-grant-full-control",
		"x-amz-grant-read", "x-amz-grant-read-acp", "x-amz-grant-write", "x-amz-grant-write-acp", "x-amz-metadata-directive",
		"x-amz-object-ownership", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
		"x-amz-server-side-encryption-customer-algorithm", "x-amz-storage-class", "x-amz-website-redirect-location",
		"x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold",
	}
}

// parameters are what a request says in its headers; a presigned URL may say it in its query.
type parameters struct {
	header http.Header
	query  map[string]string // by name in lower case
}

func parametersOf(r *http.Request) parameters {
	p := parameters{header: r.Header}
	if r.URL.RawQuery == "" {
		return p
	}
	p.query = map[string]string{}
	for name, values := range r.URL.Query() {
		p.query[strings.ToLower(name)] = values[0]
	}
	return p
}

func (p parameters) get(name string) string {
	if v := p.header.Get(name); v != "" {
		return v
	}
	return p.query[name]
}

// s3Authentication adds how the request was signed, and how long ago, in milliseconds.
func (a *Authorizer) s3Authentication(c *gateway.Call, keys iam.Context) {
	sig, err := sigv4.FromRequest(c.Request)
	switch {
	case err != nil || sig == nil:
		return
	case sig.Presigned:
		keys.Set("s3:authType", "REST-QUERY-STRING")
	default:
		keys.Set("s3:authType", "REST-HEADER")
	}
	keys.Set("s3:signatureversion", "AWS4-HMAC-SHA256")
	keys.Set("s3:signatureAge", strconv.FormatInt(max(0, c.Received.Sub(sig.Time).Milliseconds()), 10))
}

// requestTags adds the tags that a request gives an object.
func requestTags(c *gateway.Call, request parameters, action operation.Action, keys iam.Context) error {
	tags := map[string]string{}
	switch {
	case c.Name == "PutObjectTagging":
		var body struct {
			TagSet struct {
				Tag []struct{ Key, Value string }
			}
		}
		if err := xml.Unmarshal(c.Body, &body); err != nil {
			return fmt.Errorf("read the tags of the request: %w", err)
		}
		for _, t := range body.TagSet.Tag {
			tags[t.Key] = t.Value
		}
	case action.Object != nil && slices.Contains([]string{"s3:PutObject", "s3:PutObjectTagging"}, action.Name):
		values, err := url.ParseQuery(request.get("x-amz-tagging"))
		if err != nil {
			return fmt.Errorf("read the tags of the request: %w", err)
		}
		for k, v := range values {
			tags[k] = v[0]
		}
	}
	var names []string
	for k, v := range tags {
		keys.Set("s3:RequestObjectTag/"+k, v)
		names = append(names, k)
	}
	keys.Set("s3:RequestObjectTagKeys", names...)
	return nil
}

// existingTags adds the tags of the very version that an action is about, for the actions that have the
// key (retention, legal hold and deletion do not), and says whether there is such a version.
func (a *Authorizer) existingTags(ctx context.Context, action operation.Action, keys iam.Context) (found bool, err error) {
	o := action.Object
	if o == nil || o.Key == "" || a.cfg.ObjectTags == nil {
		return true, nil
	}
	switch strings.Replace(action.Name, "ObjectVersion", "Object", 1) {
	case "s3:GetObject", "s3:GetObjectAcl", "s3:GetObjectTagging", "s3:GetObjectAttributes", "s3:PutObjectAcl", "s3:PutObjectTagging", "s3:DeleteObjectTagging":
	default:
		return true, nil
	}
	tags, found, err := a.cfg.ObjectTags(ctx, o.Bucket, o.Key, o.VersionID)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errLookup, err)
	}
	for k, v := range tags {
		keys.Set("s3:ExistingObjectTag/"+k, v)
	}
	return found, nil
}
