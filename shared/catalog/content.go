package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// ObjectSortKey is the sort key of every OBJECT item, and of no other: what a
// stream filter needs to see the objects only.
const ObjectSortKey = "OBJECT"

// VersionSortPrefix begins the sort key of every version of an object.
const VersionSortPrefix = "V#"

// ExpiryShards is over how many partitions one hour of the expiry index is
// spread.
const ExpiryShards = 4

func paths() *Entity[object.Claim] {
	type C = object.Claim
	return declare("P#{workspace}#{sha256(path)}", "PATH", Entity[C]{
		name: "Path",
		doc:  "Owns a path for one object. It exists while the object is available or quarantined.",
		parts: []part[C]{
			{"workspace", func(c *C) string { return c.Workspace }},
			{"sha256(path)", func(c *C) string { return digest(c.Path) }},
		},
		fields: []field[C]{
			text("workspace", "id", func(c *C) *string { return &c.Workspace }),
			text("path", "", func(c *C) *string { return &c.Path }),
			text("object", "id of the object that owns the path", func(c *C) *string { return &c.ObjectID }),
		},
		access: []Access{
			{"PathOwner", "GetItem", "strongly consistent"},
			{"Hold", "TransactWriteItems", "written when nobody owns the path"},
			{"Publish", "TransactWriteItems", "written when nobody owns the path"},
			{"RejectUpload", "TransactWriteItems", "freed when the object in quarantine owns it"},
			{"UndeleteObject", "TransactWriteItems", "written when nobody owns the path"},
			{"DeleteObject", "TransactWriteItems", "freed when the object owns it"},
		},
	})
}

func digest(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:])
}

func objects() *Entity[object.Object] {
	type O = object.Object
	return declare("O#{workspace}#{object}", ObjectSortKey, Entity[O]{
		name: "Object",
		doc:  "What a path names. Its stream records, and no others, become events.",
		parts: []part[O]{
			{"workspace", func(o *O) string { return o.Workspace }},
			{"object", func(o *O) string { return o.ID }},
			{"parent", func(o *O) string { return o.Parent }},
			{"name", func(o *O) string { return o.Name }},
			{"state", func(o *O) string { return string(o.State) }},
			{"updatedAt", func(o *O) string { return stamp(o.UpdatedAt) }},
		},
		indexed: []indexed[O]{
			{
				index: FolderIndex, pk: "W#{workspace}#DIR#{parent}", sk: "{name}",
				when: func(o *O) bool { return o.State.OwnsPath() }, whenDoc: "it owns its path",
			},
			{
				index: StateIndex, pk: "W#{workspace}#STATE#{state}", sk: "{updatedAt}",
				when: func(o *O) bool { return o.State != object.Available }, whenDoc: "it is not available",
			},
		},
		expires: &expiry[O]{
			at: func(o *O) time.Time {
				if o.State != object.Rejected {
					return time.Time{}
				}
				return o.UpdatedAt.Add(limits.RejectedRecord)
			},
			doc: "when it was rejected, limits.RejectedRecord later",
		},
		fields: objectFields(),
		access: []Access{
			{"Publish", "TransactWriteItems", "written new, or on the rev that was read"},
			{"Hold", "TransactWriteItems", "written new, in quarantine"},
			{"RejectUpload", "TransactWriteItems", "written when the object has no version yet, or on the rev that was read"},
			{"UndeleteObject", "TransactWriteItems", "on the rev that was read"},
			{"SetStorageClass", "TransactWriteItems", "on the rev that was read"},
			{"RecordPicture", "TransactWriteItems", "on the rev that was read"},
			{"Object", "GetItem", "strongly consistent"},
			{"DeleteObject", "TransactWriteItems", "on the rev that was read"},
			{"ListObjects", "Query " + FolderIndex, "eventually consistent, by name, in pages"},
			{"ListByState", "Query " + StateIndex, "eventually consistent, latest first, in pages"},
			{"AllObjects", "Scan", "eventually consistent, in no order, in pages: the nightly check of the ledger"},
			{"ObjectsFrom", "Scan", "eventually consistent, in no order, from where a page ended: the ledger's backfill"},
			{"ObjectsOf", "BatchGetItem", "strongly consistent each: what the nightly check of the ledger looks at once more"},
		},
	})
}

func objectFields() []field[object.Object] {
	type O = object.Object
	return []field[O]{
		text("workspace", "id", func(o *O) *string { return &o.Workspace }),
		text("object", "id, a ULID", func(o *O) *string { return &o.ID }),
		text("path", "", func(o *O) *string { return &o.Path }),
		text("parent", "folder part of the path", func(o *O) *string { return &o.Parent }),
		text("name", "last segment of the path", func(o *O) *string { return &o.Name }),
		text("state", "available, quarantined, rejected or deleted", func(o *O) *object.State { return &o.State }),
		number("rev", "rises by one with every write", func(o *O) *int64 { return &o.Rev }),
		text("version", "id of the current version", func(o *O) *string { return &o.Version }),
		number("size", "bytes", func(o *O) *int64 { return &o.Size }),
		text("contentType", "as declared", func(o *O) *string { return &o.ContentType }),
		text("detectedType", "as sniffed", func(o *O) *string { return &o.DetectedType }),
		text("sha256", "base64", func(o *O) *string { return &o.SHA256 }),
		text("crc64nvme", "base64", func(o *O) *string { return &o.CRC64NVME }),
		text("etag", "", func(o *O) *string { return &o.ETag }),
		text("s3Key", "", func(o *O) *string { return &o.S3Key }),
		text("s3VersionId", "", func(o *O) *string { return &o.S3VersionID }),
		text("integrity", "verified or recorded", func(o *O) *object.Integrity { return &o.Integrity }),
		number("stored", "bytes, of the versions before, too", func(o *O) *int64 { return &o.Stored }),
		text("storageClass", "where it is not the bucket's own", func(o *O) *string { return &o.StorageClass }),
		labels("tags", "", func(o *O) *map[string]string { return &o.Tags }),
		labels("metadata", "", func(o *O) *map[string]string { return &o.Metadata }),
		record("picture", "of an image", func(o *O) **object.Picture { return &o.Picture }, pictureFields()),
		record("reason", "why it was rejected", func(o *O) **object.Reason { return &o.Reason }, reasonFields()),
		moment("createdAt", "", func(o *O) *time.Time { return &o.CreatedAt }),
		text("createdBy", "subject", func(o *O) *string { return &o.CreatedBy }),
		moment("updatedAt", "", func(o *O) *time.Time { return &o.UpdatedAt }),
		text("updatedBy", "subject, or the actor that wrote it", func(o *O) *string { return &o.UpdatedBy }),
		moment("deletedAt", "", func(o *O) *time.Time { return &o.DeletedAt }),
	}
}

func reasonFields() []field[object.Reason] {
	type R = object.Reason
	return []field[R]{
		text("code", "", func(r *R) *fault.Code { return &r.Code }),
		text("detail", "", func(r *R) *string { return &r.Detail }),
	}
}

func versions() *Entity[object.Version] {
	type V = object.Version
	return declare("O#{workspace}#{object}", VersionSortPrefix+"{version}", Entity[V]{
		name: "Version",
		doc:  "One settled upload of an object. Never changed, but that what is found out about a picture is added.",
		parts: []part[V]{
			{"workspace", func(v *V) string { return v.Workspace }},
			{"object", func(v *V) string { return v.ObjectID }},
			{"version", func(v *V) string { return v.ID }},
		},
		expires: &expiry[V]{
			at: func(v *V) time.Time {
				if v.State != object.Rejected {
					return time.Time{}
				}
				return v.CreatedAt.Add(limits.RejectedRecord)
			},
			doc: "when it was rejected, limits.RejectedRecord later",
		},
		fields: []field[V]{
			text("workspace", "id", func(v *V) *string { return &v.Workspace }),
			text("object", "id, a ULID", func(v *V) *string { return &v.ObjectID }),
			text("version", "id, a ULID, that of the upload", func(v *V) *string { return &v.ID }),
			text("state", "available or rejected", func(v *V) *object.State { return &v.State }),
			number("size", "bytes", func(v *V) *int64 { return &v.Size }),
			text("contentType", "as declared", func(v *V) *string { return &v.ContentType }),
			text("detectedType", "as sniffed", func(v *V) *string { return &v.DetectedType }),
			text("sha256", "base64", func(v *V) *string { return &v.SHA256 }),
			text("crc64nvme", "base64", func(v *V) *string { return &v.CRC64NVME }),
			text("etag", "", func(v *V) *string { return &v.ETag }),
			text("s3Key", "", func(v *V) *string { return &v.S3Key }),
			text("s3VersionId", "", func(v *V) *string { return &v.S3VersionID }),
			text("integrity", "verified or recorded", func(v *V) *object.Integrity { return &v.Integrity }),
			record("picture", "of an image", func(v *V) **object.Picture { return &v.Picture }, pictureFields()),
			record("reason", "why it was rejected", func(v *V) **object.Reason { return &v.Reason }, reasonFields()),
			moment("createdAt", "", func(v *V) *time.Time { return &v.CreatedAt }),
			text("createdBy", "subject", func(v *V) *string { return &v.CreatedBy }),
		},
		access: []Access{
			{"Publish", "TransactWriteItems", "written once"},
			{"RejectUpload", "TransactWriteItems", "written once"},
			{"RecordPicture", "TransactWriteItems", "the picture is added"},
			{"Version", "GetItem", "strongly consistent"},
			{"Versions", "Query", "sk begins with " + VersionSortPrefix + ", strongly consistent, latest first, in pages"},
		},
	})
}

func uploads() *Entity[upload.Upload] {
	type U = upload.Upload
	return declare(uploadPrefix+"{workspace}#{upload}", uploadSortKey, Entity[U]{
		name: "Upload",
		doc:  "One attempt to store bytes, with what it has reserved.",
		parts: []part[U]{
			{"workspace", func(u *U) string { return u.Workspace }},
			{"upload", func(u *U) string { return u.ID }},
			{"hour", func(u *U) string { return ExpiryHour(u.Due()) }},
			{"shard", func(u *U) string { return strconv.Itoa(ExpiryShard(u.ID)) }},
			{"due", func(u *U) string { return stamp(u.Due()) }},
		},
		indexed: []indexed[U]{{
			index: ExpiryIndex, pk: "EXP#{hour}#{shard}", sk: "{due}",
			when: func(u *U) bool { return len(u.Reservation) > 0 }, whenDoc: "it holds a reservation",
		}},
		expires: &expiry[U]{
			at: func(u *U) time.Time {
				if !u.State.Ended() || len(u.Reservation) > 0 || movedVersion(u) {
					return time.Time{}
				}
				return u.EndedAt.Add(limits.UploadRecord)
			},
			doc: "when it has ended and holds no reservation, limits.UploadRecord after its end; never when its version belongs to another object than its key names",
		},
		fields: uploadFields(),
		access: []Access{
			{"OpenUpload", "TransactWriteItems", "written new, with its reservation"},
			{"Upload", "GetItem", "strongly consistent"},
			{"StartMultipart", "PutItem", "on the rev that was read"},
			{"BeginCompletion", "PutItem", "on the rev that was read"},
			{"EndCompletion", "PutItem", "on the rev that was read"},
			{"RejectCompletion", "TransactWriteItems", "on the rev that was read; keeps its reservation"},
			{"EndUpload", "PutItem", "on the rev that was read; keeps its reservation"},
			{"PostponeUpload", "PutItem", "on the rev that was read"},
			{"DueUploads", "Query " + ExpiryIndex, "eventually consistent, in pages, by hour and shard"},
			{"Hold", "TransactWriteItems", "on the rev that was read; keeps its reservation"},
			{"NoteUpload", "PutItem", "on the rev that was read"},
			{"Publish", "TransactWriteItems", "on the rev that was read"},
			{"RejectUpload", "TransactWriteItems", "on the rev that was read; keeps its reservation"},
			{"ReleaseUpload", "TransactWriteItems", "on the rev that was read"},
		},
	})
}

func uploadFields() []field[upload.Upload] {
	type U = upload.Upload
	return []field[U]{
		text("workspace", "id", func(u *U) *string { return &u.Workspace }),
		text("upload", "id, a ULID", func(u *U) *string { return &u.ID }),
		text("object", "id of the object it is for", func(u *U) *string { return &u.ObjectID }),
		text("path", "", func(u *U) *string { return &u.Path }),
		number("size", "bytes, as declared", func(u *U) *int64 { return &u.Size }),
		text("contentType", "as declared", func(u *U) *string { return &u.ContentType }),
		text("sha256", "base64, as declared", func(u *U) *string { return &u.SHA256 }),
		text("crc64nvme", "base64, as declared", func(u *U) *string { return &u.CRC64NVME }),
		text("mode", "single or multipart", func(u *U) *upload.Mode { return &u.Mode }),
		number("partSize", "bytes of every part but the last; 0 in mode single", func(u *U) *int64 { return &u.PartSize }),
		text("ifExists", "fail or version", func(u *U) *upload.IfExists { return &u.IfExists }),
		labels("tags", "", func(u *U) *map[string]string { return &u.Tags }),
		labels("metadata", "", func(u *U) *map[string]string { return &u.Metadata }),
		text("state", "see the state machine of uploads", func(u *U) *upload.State { return &u.State }),
		number("rev", "rises by one with every write", func(u *U) *int64 { return &u.Rev }),
		list("reservation", "what it holds of the quota, by shard", func(u *U) *[]workspace.Share { return &u.Reservation }, encodeShare, decodeShare),
		text("s3Key", "", func(u *U) *string { return &u.S3Key }),
		text("s3UploadId", "of a multipart upload", func(u *U) *string { return &u.S3UploadID }),
		record("completion", "what the client said when it completed", func(u *U) **upload.Completion { return &u.Completion }, completionFields()),
		text("s3VersionId", "that was published or rejected, or waits for a scanner", func(u *U) *string { return &u.S3VersionID }),
		boolean("holds", "its object is in quarantine for it", func(u *U) *bool { return &u.Holds }),
		text("createdBy", "subject", func(u *U) *string { return &u.CreatedBy }),
		moment("createdAt", "", func(u *U) *time.Time { return &u.CreatedAt }),
		moment("expiresAt", "when the sweeper may end it", func(u *U) *time.Time { return &u.ExpiresAt }),
		moment("endedAt", "", func(u *U) *time.Time { return &u.EndedAt }),
		text("endedBy", "client, ingest, completer or sweeper", func(u *U) *upload.Actor { return &u.EndedBy }),
		record("reason", "why it, or its last completion, was refused", func(u *U) **object.Reason { return &u.Reason }, reasonFields()),
	}
}

func completionFields() []field[upload.Completion] {
	type C = upload.Completion
	return []field[C]{
		text("parts", "digest of the parts", func(c *C) *string { return &c.Parts }),
		text("crc64nvme", "base64, as declared then", func(c *C) *string { return &c.CRC64NVME }),
		moment("begunAt", "", func(c *C) *time.Time { return &c.BegunAt }),
	}
}

func shareFields() []field[workspace.Share] {
	type S = workspace.Share
	return []field[S]{
		number("shard", "", func(s *S) *int { return &s.Shard }),
		number("bytes", "", func(s *S) *int64 { return &s.Bytes }),
		number("objects", "", func(s *S) *int64 { return &s.Objects }),
		number("uploads", "", func(s *S) *int64 { return &s.Uploads }),
	}
}

func encodeShare(s workspace.Share) Value { return Map(encodeFields(&s, shareFields())) }

func decodeShare(v Value) (workspace.Share, error) {
	var s workspace.Share
	m, err := v.fields()
	if err != nil {
		return s, err
	}
	return s, decodeFields(&s, m, shareFields())
}

// movedVersion reports whether an upload was published as a version of another
// object than the one in its key. Its record alone leads from the key to the
// version, and stays as long as that does.
func movedVersion(u *upload.Upload) bool {
	return u.State == upload.Available && u.S3Key != object.Key(u.Workspace, u.ObjectID, u.ID)
}

// ExpiryHour returns the hour of the expiry index in which t lies.
func ExpiryHour(t time.Time) string { return t.UTC().Format("2006-01-02T15") }

// ExpiryShard spreads the uploads of an hour over ExpiryShards partitions.
func ExpiryShard(uploadID string) int {
	h := fnv.New32a()
	h.Write([]byte(uploadID))
	return int(h.Sum32() % ExpiryShards)
}
