package upload_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/upload"
)

const id = "01JBQ8G7Z0Y5X4W3V2T1S0R9QP"

func valid() upload.Upload {
	return upload.Upload{
		Workspace: "alpha", ID: id, ObjectID: id, Path: "a/b",
		Size: 1, ContentType: "text/plain", SHA256: digest(32),
		Mode: upload.Single, IfExists: upload.Fail,
	}
}

func digest(size int) string { return base64.StdEncoding.EncodeToString(make([]byte, size)) }

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*upload.Upload)
		code   fault.Code
		field  string
	}{
		{"as it is", func(*upload.Upload) {}, "", ""},
		{"empty object", func(u *upload.Upload) { u.Size = 0 }, "", ""},
		{"negative size", func(u *upload.Upload) { u.Size = -1 }, fault.InvalidArgument, "size"},
		{"largest single", func(u *upload.Upload) { u.Size = limits.SinglePutBytes }, "", ""},
		{"one more", func(u *upload.Upload) { u.Size = limits.SinglePutBytes + 1 }, fault.TooLarge, ""},
		{"multipart", func(u *upload.Upload) {
			u.Size, u.Mode, u.SHA256, u.PartSize = limits.SinglePutBytes+1, upload.Multipart, "", limits.PartBytes
		}, "", ""},
		{"single without a checksum", func(u *upload.Upload) { u.SHA256 = "" }, fault.InvalidArgument, "sha256"},
		{"short checksum", func(u *upload.Upload) { u.SHA256 = digest(31) }, fault.InvalidArgument, "sha256"},
		{"long checksum", func(u *upload.Upload) { u.SHA256 = digest(33) }, fault.InvalidArgument, "sha256"},
		{"URL-safe base64", func(u *upload.Upload) { u.SHA256 = strings.Repeat("_", 43) + "=" }, fault.InvalidArgument, "sha256"},
		{"line break in base64", func(u *upload.Upload) { u.SHA256 = digest(32)[:20] + "\n" + digest(32)[20:] }, fault.InvalidArgument, "sha256"},
		{"checksum not canonical", func(u *upload.Upload) { u.SHA256 = strings.Repeat("A", 42) + "B=" }, fault.InvalidArgument, "sha256"},
		{"CRC", func(u *upload.Upload) { u.CRC64NVME = digest(8) }, "", ""},
		{"short CRC", func(u *upload.Upload) { u.CRC64NVME = digest(7) }, fault.InvalidArgument, "crc64nvme"},
		{"no mode", func(u *upload.Upload) { u.Mode = "" }, fault.InvalidArgument, "mode"},
		{"no ifExists", func(u *upload.Upload) { u.IfExists = "" }, fault.InvalidArgument, "ifExists"},
		{"no path", func(u *upload.Upload) { u.Path = "" }, fault.InvalidArgument, "path"},
		{"no content type", func(u *upload.Upload) { u.ContentType = "" }, fault.InvalidArgument, "contentType"},
		{"no workspace", func(u *upload.Upload) { u.Workspace = "" }, fault.InvalidArgument, "workspace"},
		{"lower-case id", func(u *upload.Upload) { u.ID = strings.ToLower(id) }, fault.InvalidArgument, "id"},
		{"empty tag", func(u *upload.Upload) { u.Tags = map[string]string{"": "v"} }, fault.InvalidArgument, "tags"},
		{"empty metadata", func(u *upload.Upload) { u.Metadata = map[string]string{"": "v"} }, fault.InvalidArgument, "metadata"},
	} {
		u := valid()
		tc.change(&u)
		err := u.Validate()
		if fault.CodeOf(err) != tc.code {
			t.Errorf("%s: %v, want code %q", tc.name, err, tc.code)
			continue
		}
		if tc.field != "" && err.(*fault.Error).Fields[0].Field != tc.field { //nolint:errorlint,forcetypeassert // has a code
			t.Errorf("%s: %v, want it to blame %s", tc.name, err, tc.field)
		}
	}
}
