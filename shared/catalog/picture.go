package catalog

import (
	"time"

	"github.com/stowage-dev/stowage/shared/object"
)

func pictureFields() []field[object.Picture] {
	type P = object.Picture
	return []field[P]{
		number("width", "pixels, as shown", func(p *P) *int { return &p.Width }),
		number("height", "pixels, as shown", func(p *P) *int { return &p.Height }),
		moment("capturedAt", "as the camera says", func(p *P) *time.Time { return &p.CapturedAt }),
		texts("derivatives", "names", func(p *P) *[]string { return &p.Derivatives }),
		record("reason", "why there are no derivatives", func(p *P) **object.Reason { return &p.Reason }, reasonFields()),
	}
}

func derivatives() *Entity[object.Derivative] {
	type D = object.Derivative
	return declare("O#{workspace}#{object}", "D#{name}", Entity[D]{
		name: "Derivative",
		doc:  "A smaller copy of an object's current version, where that is a picture.",
		parts: []part[D]{
			{"workspace", func(d *D) string { return d.Workspace }},
			{"object", func(d *D) string { return d.ObjectID }},
			{"name", func(d *D) string { return d.Name }},
		},
		fields: []field[D]{
			text("workspace", "id", func(d *D) *string { return &d.Workspace }),
			text("object", "id, a ULID", func(d *D) *string { return &d.ObjectID }),
			text("name", "the longest side that it may have, in pixels", func(d *D) *string { return &d.Name }),
			text("version", "id of the version that it was made of", func(d *D) *string { return &d.Version }),
			number("size", "bytes", func(d *D) *int64 { return &d.Size }),
			text("contentType", "", func(d *D) *string { return &d.ContentType }),
			number("width", "pixels", func(d *D) *int { return &d.Width }),
			number("height", "pixels", func(d *D) *int { return &d.Height }),
			text("s3Key", "", func(d *D) *string { return &d.S3Key }),
			text("s3VersionId", "", func(d *D) *string { return &d.S3VersionID }),
			moment("createdAt", "", func(d *D) *time.Time { return &d.CreatedAt }),
		},
		access: []Access{
			{"RecordPicture", "TransactWriteItems", "replaced when a newer version becomes current"},
			{"Derivative", "GetItem", "strongly consistent"},
		},
	})
}
