package sources

import (
	"encoding/json"
	"net/url"
	"strings"
)

// s3Record is one record of an S3 notification.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type s3Record struct {
	EventVersion      string            `json:"eventVersion"`
	EventSource       string            `json:"eventSource"`
	Region            string            `json:"awsRegion"`
	EventTime         string            `json:"eventTime"`
	EventName         string            `json:"eventName"`
	UserIdentity      s3Principal       `json:"userIdentity"`
	RequestParameters map[string]string `json:"requestParameters"`
	ResponseElements  map[string]string `json:"responseElements"`
	S3                s3Entity          `json:"s3"`
}

type s3Principal struct {
	PrincipalID string `json:"principalId"`
}

type s3Entity struct {
	SchemaVersion   string   `json:"s3SchemaVersion"`
	ConfigurationID string   `json:"configurationId"`
	Bucket          s3Bucket `json:"bucket"`
	Object          s3Object `json:"object"`
}

type s3Bucket struct {
	Name          string      `json:"name"`
	OwnerIdentity s3Principal `json:"ownerIdentity"`
	ARN           string      `json:"arn"`
}

type s3Object struct {
	Key       string `json:"key"`
	Size      *int64 `json:"size,omitempty"` // absent when an object was removed
	ETag      string `json:"eTag,omitempty"`
	VersionID string `json:"versionId,omitempty"`
	Sequencer string `json:"sequencer,omitempty"`
}

// emptyETag is the eTag of a delete marker in a notification: that of no bytes.
const emptyETag = "d41d8cd98f00b204e9800998ecf8427e"

// record is the notification's record of an event.
func (n *Notifier) record(notification Notification, e ObjectEvent) json.RawMessage {
	object := s3Object{Key: encodeKey(e.Key), VersionID: e.VersionID, Sequencer: e.Sequencer}
	switch {
	case strings.HasPrefix(e.Name, "ObjectCreated:"), strings.HasPrefix(e.Name, "ObjectRestore:"):
		object.Size, object.ETag = &e.Size, e.ETag
	case strings.HasSuffix(e.Name, ":DeleteMarkerCreated"):
		object.ETag = emptyETag
	case !isRemoval(e.Name):
		object.ETag = e.ETag
	}
	id := notification.ID
	if id == "" {
		id = "notification-to-" + arnResource(notification.TargetARN)
	}
	return mustEncode(s3Record{
		EventVersion: eventVersion(e.Name), EventSource: "aws:s3", Region: n.cfg.Region,
		EventTime: e.Time.UTC().Format(stamp), EventName: e.Name,
		UserIdentity:      s3Principal{e.Principal},
		RequestParameters: map[string]string{"sourceIPAddress": e.SourceIP},
		ResponseElements:  map[string]string{"x-amz-request-id": e.RequestID, "x-amz-id-2": e.RequestID},
		S3: s3Entity{
			SchemaVersion: "1.0", ConfigurationID: id,
			Bucket: s3Bucket{e.Bucket, s3Principal{n.cfg.Account}, bucketARN(e.Bucket)},
			Object: object,
		},
	})
}

// eventVersion is 2.3 for the kinds of events that S3 added last.
func eventVersion(name string) string {
	for _, family := range []string{"Lifecycle", "IntelligentTiering", "ObjectTagging", "ObjectAcl"} {
		if strings.HasPrefix(name, family) {
			return "2.3"
		}
	}
	if strings.HasPrefix(name, "Replication:") {
		return "2.2"
	}
	return "2.1"
}

// encodeKey encodes a key as S3 does in its notifications: like a form, but with
// its slashes.
func encodeKey(key string) string {
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}

func bucketARN(bucket string) string { return "arn:aws:s3:::" + bucket }

func isRemoval(name string) bool {
	return strings.HasPrefix(name, "ObjectRemoved:") || strings.HasPrefix(name, "LifecycleExpiration:")
}

// busDetail is the detail of an S3 event on the bus. Its key is not encoded.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
type busDetail struct {
	Version      string     `json:"version"`
	Bucket       busBucket  `json:"bucket"`
	Object       *busObject `json:"object"`
	RequestID    string     `json:"request-id"`
	Requester    string     `json:"requester"`
	SourceIP     string     `json:"source-ip-address,omitempty"`
	Reason       string     `json:"reason,omitempty"`
	DeletionType string     `json:"deletion-type,omitempty"`
}

type busBucket struct {
	Name string `json:"name"`
}

type busObject struct {
	Key       string `json:"key"`
	Size      *int64 `json:"size,omitempty"`
	ETag      string `json:"etag,omitempty"`
	VersionID string `json:"version-id,omitempty"`
	Sequencer string `json:"sequencer,omitempty"`
}

// busEvent is the bus's form of an event; false when the bus has none.
func (n *Notifier) busEvent(e ObjectEvent) (BusEvent, bool) {
	detailType, reason := busName(e.Name)
	if detailType == "" {
		return BusEvent{}, false
	}
	detail := busDetail{
		Version: "0", Bucket: busBucket{e.Bucket}, RequestID: e.RequestID, Requester: n.cfg.Account, SourceIP: e.SourceIP, Reason: reason,
		Object: &busObject{Key: e.Key, VersionID: e.VersionID, Sequencer: e.Sequencer},
	}
	switch {
	case strings.HasSuffix(e.Name, ":DeleteMarkerCreated"):
		detail.DeletionType, detail.Object.ETag = "Delete Marker Created", emptyETag
	case isRemoval(e.Name):
		detail.DeletionType = "Permanently Deleted"
	default:
		detail.Object.ETag = e.ETag
		if !strings.HasPrefix(e.Name, "ObjectTagging:") && !strings.HasPrefix(e.Name, "ObjectAcl:") {
			detail.Object.Size = &e.Size
		}
	}
	if strings.HasPrefix(e.Name, "Lifecycle") {
		detail.Requester = "s3.amazonaws.com"
	}
	return BusEvent{
		Source: "aws.s3", DetailType: detailType, Time: e.Time, Resources: []string{bucketARN(e.Bucket)}, Detail: mustEncode(detail),
	}, true
}

// busName is an event's detail-type and reason on the bus.
func busName(name string) (detailType, reason string) {
	family, kind, _ := strings.Cut(name, ":")
	switch family {
	case "ObjectCreated":
		reasons := map[string]string{"Put": "PutObject", "Post": "POST Object", "Copy": "CopyObject", "CompleteMultipartUpload": "CompleteMultipartUpload"}
		return "Object Created", reasons[kind]
	case "ObjectRemoved":
		return "Object Deleted", "DeleteObject"
	case "LifecycleExpiration":
		return "Object Deleted", "Lifecycle Expiration"
	case "LifecycleTransition":
		return "Object Storage Class Changed", ""
	case "IntelligentTiering":
		return "Object Access Tier Changed", ""
	case "ObjectRestore":
		types := map[string]string{"Post": "Object Restore Initiated", "Completed": "Object Restore Completed", "Delete": "Object Restore Expired"}
		return types[kind], ""
	case "ObjectTagging":
		types := map[string]string{"Put": "Object Tags Added", "Delete": "Object Tags Deleted"}
		return types[kind], ""
	case "ObjectAcl":
		return "Object ACL Updated", ""
	}
	return "", ""
}
