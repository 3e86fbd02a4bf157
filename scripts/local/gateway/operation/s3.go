package operation

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// subresource is a query parameter that makes a request mean something else than the bucket or the
// object: for each method the operation and its IAM action without "s3:". Empty: there is none.
type subresource struct {
	query                string
	get, getAction       string
	put, putAction       string
	post, postAction     string
	remove, removeAction string
}

// same is a subresource whose operations and actions follow one pattern: Get<noun>, Put<noun>,
// Delete<noun>; deleting takes the permission to put where there is none to delete.
func same(query, noun, action string, deletes, deleteAction bool) subresource {
	s := subresource{query: query, get: "Get" + noun, getAction: "Get" + action, put: "Put" + noun, putAction: "Put" + action}
	if deletes {
		s.remove, s.removeAction = "Delete"+noun, "Put"+action
	}
	if deleteAction {
		s.removeAction = "Delete" + action
	}
	return s
}

// bucketSubresources are all that S3 has for buckets.
func bucketSubresources() []subresource {
	return []subresource{
		{query: "versions", get: "ListObjectVersions", getAction: "ListBucketVersions"},
		{query: "uploads", get: "ListMultipartUploads", getAction: "ListBucketMultipartUploads"},
		{query: "list-type", get: "ListObjectsV2", getAction: "ListBucket"},
		{query: "delete", post: "DeleteObjects", postAction: "DeleteObject"},
		{query: "location", get: "GetBucketLocation", getAction: "GetBucketLocation"},
		{query: "policyStatus", get: "GetBucketPolicyStatus", getAction: "GetBucketPolicyStatus"},
		same("policy", "BucketPolicy", "BucketPolicy", true, true),
		same("acl", "BucketAcl", "BucketAcl", false, false),
		same("cors", "BucketCors", "BucketCORS", true, false),
		same("versioning", "BucketVersioning", "BucketVersioning", false, false),
		same("tagging", "BucketTagging", "BucketTagging", true, false),
		same("lifecycle", "BucketLifecycleConfiguration", "LifecycleConfiguration", true, false),
		same("notification", "BucketNotificationConfiguration", "BucketNotification", false, false),
		same("encryption", "BucketEncryption", "EncryptionConfiguration", true, false),
		same("publicAccessBlock", "PublicAccessBlock", "BucketPublicAccessBlock", true, false),
		same("ownershipControls", "BucketOwnershipControls", "BucketOwnershipControls", true, false),
		same("website", "BucketWebsite", "BucketWebsite", true, true),
		same("logging", "BucketLogging", "BucketLogging", false, false),
		same("replication", "BucketReplication", "ReplicationConfiguration", true, false),
		same("accelerate", "BucketAccelerateConfiguration", "AccelerateConfiguration", false, false),
		same("requestPayment", "BucketRequestPayment", "BucketRequestPayment", false, false),
		same("object-lock", "ObjectLockConfiguration", "BucketObjectLockConfiguration", false, false),
		same("inventory", "BucketInventoryConfiguration", "InventoryConfiguration", true, false),
		same("metrics", "BucketMetricsConfiguration", "MetricsConfiguration", true, false),
		same("analytics", "BucketAnalyticsConfiguration", "AnalyticsConfiguration", true, false),
		same("intelligent-tiering", "BucketIntelligentTieringConfiguration", "IntelligentTieringConfiguration", true, false),
	}
}

// objectSubresources are those for objects that the engine knows: another parameter means nothing to it.
// Actions are those without a version id.
func objectSubresources() []subresource {
	return []subresource{
		{
			query: "uploadId", get: "ListParts", getAction: "ListMultipartUploadParts", put: "UploadPart", putAction: "PutObject",
			post: "CompleteMultipartUpload", postAction: "PutObject", remove: "AbortMultipartUpload", removeAction: "AbortMultipartUpload",
		},
		{query: "uploads", post: "CreateMultipartUpload", postAction: "PutObject"},
		{query: "attributes", get: "GetObjectAttributes", getAction: "GetObjectAttributes"},
		same("tagging", "ObjectTagging", "ObjectTagging", true, true),
		same("acl", "ObjectAcl", "ObjectAcl", false, false),
		same("retention", "ObjectRetention", "ObjectRetention", false, false),
		same("legal-hold", "ObjectLegalHold", "ObjectLegalHold", false, false),
		{query: "restore", post: "RestoreObject", postAction: "RestoreObject"},
		{query: "select", post: "SelectObjectContent", postAction: "GetObject"},
	}
}

// versioned gives the action that a version id makes of another one, for those that it changes.
func versioned(action string) string {
	switch action {
	case "GetObject", "GetObjectAcl", "GetObjectTagging", "GetObjectAttributes", "PutObjectAcl",
		"PutObjectTagging", "DeleteObjectTagging":
		return strings.Replace(action, "Object", "ObjectVersion", 1)
	case "DeleteObject":
		return "DeleteObjectVersion"
	}
	return action
}

func (d *Deriver) s3Name(r *http.Request) string {
	name, _ := d.s3Call(r)
	return name
}

// s3Call gives a request's operation and its main action, regardless of versions.
func (d *Deriver) s3Call(r *http.Request) (name, action string) {
	if r.Method == http.MethodOptions {
		return "Preflight", "" // CORS preflights are not authorized
	}
	o := objectOf(r)
	table := d.object
	switch {
	case o.Bucket == "":
		return onService(r.Method)
	case o.Key == "":
		table = d.bucket
	}
	if r.Method != http.MethodHead { // a HEAD asks for the bucket or object itself, whatever else it says
		if sub, n := find(table, r.URL.Query()); n > 0 {
			return sub.on(r, n)
		}
	}
	if o.Key == "" {
		return onBucket(r.Method)
	}
	return onObject(r)
}

// find gives the subresource that a query names, and how many it names.
func find(table []subresource, query url.Values) (found subresource, n int) {
	for _, s := range table {
		if query.Has(s.query) {
			found = s
			n++
		}
	}
	return found, n
}

// on gives what a request does to a subresource. A request that names several could be taken for any of
// them, so that no operation is told.
func (s subresource) on(r *http.Request, n int) (name, action string) {
	if n > 1 {
		return "", ""
	}
	switch r.Method {
	case http.MethodGet:
		return s.get, s.getAction
	case http.MethodPut:
		if s.put == "UploadPart" && r.Header.Get(headerCopySource) != "" {
			return "UploadPartCopy", s.putAction
		}
		return s.put, s.putAction
	case http.MethodPost:
		return s.post, s.postAction
	case http.MethodDelete:
		return s.remove, s.removeAction
	}
	return "", ""
}

func onService(method string) (name, action string) {
	if method == http.MethodGet {
		return "ListBuckets", "ListAllMyBuckets"
	}
	return "", ""
}

func onBucket(method string) (name, action string) {
	switch method {
	case http.MethodGet:
		return "ListObjects", "ListBucket"
	case http.MethodHead:
		return "HeadBucket", "ListBucket"
	case http.MethodPut:
		return "CreateBucket", "CreateBucket"
	case http.MethodDelete:
		return "DeleteBucket", "DeleteBucket"
	case http.MethodPost:
		return "PostObject", "PutObject"
	}
	return "", ""
}

func onObject(r *http.Request) (name, action string) {
	switch r.Method {
	case http.MethodGet:
		return "GetObject", "GetObject"
	case http.MethodHead:
		return "HeadObject", "GetObject"
	case http.MethodPut:
		if r.Header.Get(headerCopySource) != "" {
			return "CopyObject", "PutObject"
		}
		return "PutObject", "PutObject"
	case http.MethodDelete:
		return "DeleteObject", "DeleteObject"
	}
	return "", ""
}

// Headers, or in a presigned URL query parameters, that bring further actions.
const (
	headerCopySource = "X-Amz-Copy-Source"
	headerTagging    = "X-Amz-Tagging"
	headerACL        = "X-Amz-Acl"
	headerLockMode   = "X-Amz-Object-Lock-Mode"
	headerRetain     = "X-Amz-Object-Lock-Retain-Until-Date"
	headerLegalHold  = "X-Amz-Object-Lock-Legal-Hold"
	headerBypass     = "X-Amz-Bypass-Governance-Retention" //nolint:gosec // the name of a header
)

// carries says whether a request has a header; presigned, it may stand in the query.
func carries(r *http.Request, name string) bool {
	if r.Header.Get(name) != "" {
		return true
	}
	for q, v := range r.URL.Query() {
		if strings.EqualFold(q, name) && v[0] != "" {
			return true
		}
	}
	return false
}

func (d *Deriver) s3(r *http.Request, body []byte) Operation {
	o := objectOf(r)
	op := Operation{Resource: o.ARN(), Object: &o}
	var action string
	op.Name, action = d.s3Call(r)
	switch {
	case action == "":
		return op
	case op.Name == "DeleteObjects":
		op.Actions = deletions(o.Bucket, body)
	case op.Name == "PostObject": // the key stands in the form
		op.add(action, Object{Bucket: o.Bucket, Key: "*"})
	default:
		if o.VersionID != "" {
			action = versioned(action)
		}
		op.add(action, o)
	}
	op.addHeaders(r, o)
	return op
}

func (op *Operation) add(action string, o Object) {
	op.Actions = append(op.Actions, Action{Name: "s3:" + action, Resource: o.ARN(), Object: &o})
}

// addHeaders adds the actions that a request's headers bring.
func (op *Operation) addHeaders(r *http.Request, o Object) {
	switch op.Name {
	case "GetObjectAttributes":
		if o.VersionID != "" {
			op.add("GetObjectVersion", o)
		} else {
			op.add("GetObject", o)
		}
	case "PutObject", "CopyObject", "CreateMultipartUpload":
		if carries(r, headerTagging) {
			op.add("PutObjectTagging", o)
		}
		if carries(r, headerACL) || grants(r) {
			op.add("PutObjectAcl", o)
		}
		if carries(r, headerLockMode) || carries(r, headerRetain) {
			op.add("PutObjectRetention", o)
		}
		if carries(r, headerLegalHold) {
			op.add("PutObjectLegalHold", o)
		}
	case "DeleteObject", "DeleteObjects", "PutObjectRetention":
		if strings.EqualFold(r.Header.Get(headerBypass), "true") {
			op.add("BypassGovernanceRetention", o)
		}
	}
	if op.Name == "CopyObject" || op.Name == "UploadPartCopy" {
		if source, ok := copySource(r.Header.Get(headerCopySource)); ok {
			action := "GetObject"
			if source.VersionID != "" {
				action = versioned(action)
			}
			op.add(action, source)
		}
	}
}

func grants(r *http.Request) bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return true
		}
	}
	return false
}

// objectOf reads a path-style address.
func objectOf(r *http.Request) Object {
	query := r.URL.Query()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return Object{Bucket: bucket, Key: key, VersionID: query.Get("versionId"), UploadID: query.Get("uploadId")}
}

// copySource reads X-Amz-Copy-Source: [/]bucket/key[?versionId=id], URL-encoded.
func copySource(v string) (Object, bool) {
	path, query, _ := strings.Cut(strings.TrimPrefix(v, "/"), "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return Object{}, false
	}
	bucket, key, ok := strings.Cut(decoded, "/")
	if !ok || bucket == "" || key == "" {
		return Object{}, false
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Object{}, false
	}
	return Object{Bucket: bucket, Key: key, VersionID: values.Get("versionId")}, true
}

// deletions are the actions of a DeleteObjects body: one for each object. A body that cannot be read
// takes the permission to delete anything; the engine will refuse it.
func deletions(bucket string, body []byte) []Action {
	var request struct {
		Object []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		}
	}
	if err := xml.Unmarshal(body, &request); err != nil || len(request.Object) == 0 {
		all := Object{Bucket: bucket, Key: "*"}
		return []Action{{Name: "s3:DeleteObject", Resource: all.ARN(), Object: &all}}
	}
	actions := make([]Action, 0, len(request.Object))
	for _, d := range request.Object {
		o := Object{Bucket: bucket, Key: d.Key, VersionID: d.VersionID}
		name := "s3:DeleteObject"
		if o.VersionID != "" {
			name = "s3:DeleteObjectVersion"
		}
		actions = append(actions, Action{Name: name, Resource: o.ARN(), Object: &o})
	}
	return actions
}
