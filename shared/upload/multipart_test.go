package upload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/upload"
)

func multipart(size, partSize int64) upload.Upload {
	u := valid()
	u.Mode, u.SHA256, u.Size, u.PartSize = upload.Multipart, "", size, partSize
	return u
}

func TestDefaultPartSize(t *testing.T) {
	t.Parallel()
	const most = limits.S3MaxParts * limits.PartBytes
	for _, tc := range []struct {
		size, want int64
		parts      int
	}{
		{1, 8 * limits.MiB, 1},
		{8 * limits.MiB, 8 * limits.MiB, 1},
		{8*limits.MiB + 1, 8 * limits.MiB, 2},
		{most, 8 * limits.MiB, 10_000},
		{most + 1, 9 * limits.MiB, 8889},
		{5 * limits.TiB, 525 * limits.MiB, 9987},
		{limits.S3MaxParts * limits.S3MaxPartBytes, limits.S3MaxPartBytes, 10_000},
	} {
		got := upload.DefaultPartSize(tc.size)
		u := multipart(tc.size, got)
		if got != tc.want || u.PartCount() != tc.parts {
			t.Errorf("of %d bytes: parts of %d, %d of them; want %d and %d", tc.size, got, u.PartCount(), tc.want, tc.parts)
		}
		if err := u.Validate(); err != nil {
			t.Errorf("of %d bytes: %v", tc.size, err)
		}
	}
}

func TestValidateMultipart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		u     upload.Upload
		field string
	}{
		{"one byte", multipart(1, limits.S3MinPartBytes), ""},
		{"nothing", multipart(0, limits.PartBytes), "size"},
		{"less than nothing", multipart(-1, limits.PartBytes), "size"},
		{"no part size", multipart(1, 0), "partSize"},
		{"least part size", multipart(limits.GiB, limits.S3MinPartBytes), ""},
		{"one byte less", multipart(limits.GiB, limits.S3MinPartBytes-1), "partSize"},
		{"largest part size", multipart(limits.TiB, limits.S3MaxPartBytes), ""},
		{"one byte more", multipart(limits.TiB, limits.S3MaxPartBytes+1), "partSize"},
		{"10,000 parts", multipart(10_000*limits.S3MinPartBytes, limits.S3MinPartBytes), ""},
		{"10,001 parts", multipart(10_000*limits.S3MinPartBytes+1, limits.S3MinPartBytes), "partSize"},
		{"9,999 parts and a byte", multipart(9_999*limits.S3MinPartBytes+1, limits.S3MinPartBytes), ""},
		{"SHA-256", func() upload.Upload { u := multipart(1, limits.PartBytes); u.SHA256 = digest(32); return u }(), "sha256"},
		{"CRC", func() upload.Upload { u := multipart(1, limits.PartBytes); u.CRC64NVME = digest(8); return u }(), ""},
		{"part size of a single", func() upload.Upload { u := valid(); u.PartSize = limits.PartBytes; return u }(), "partSize"},
	} {
		err := tc.u.Validate()
		if tc.field == "" && err != nil || tc.field != "" && !strings.Contains(fmt.Sprint(err), tc.field) {
			t.Errorf("%s: %v, want it to blame %q", tc.name, err, tc.field)
		}
	}
}

// TestPartsCoverTheObject: whatever the size, the parts are as many as may be, none is too
// short but the last, and together they are the object.
func TestPartsCoverTheObject(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 5*limits.TiB).Draw(t, "size")
		u := multipart(size, upload.DefaultPartSize(size))
		if rapid.Bool().Draw(t, "own size") {
			u.PartSize = rapid.Int64Range(max(limits.S3MinPartBytes, (size-1)/limits.S3MaxParts+1), limits.S3MaxPartBytes).Draw(t, "part size")
		}
		if err := u.Validate(); err != nil {
			t.Fatal(err)
		}
		parts := u.FirstParts(limits.S3MaxParts)
		var sum int64
		for i, p := range parts {
			sum += p.Size
			if p.Number != i+1 || p.Size < 1 || i < len(parts)-1 && p.Size != u.PartSize {
				t.Fatalf("part %d of %d is %+v", i+1, len(parts), p)
			}
		}
		if sum != size || len(parts) > limits.S3MaxParts || u.CheckStored(parts) != nil {
			t.Fatalf("%d parts of %d bytes together, want %d", len(parts), sum, size)
		}
	})
}

func TestPartsByNumber(t *testing.T) {
	t.Parallel()
	u := multipart(5000*limits.PartBytes-1, limits.PartBytes)
	numbers := func(n int) []int {
		all := make([]int, n)
		for i := range all {
			all[i] = n - i
		}
		return all
	}
	for _, tc := range []struct {
		name    string
		numbers []int
		field   string
	}{
		{"none", nil, "partNumbers"},
		{"one", []int{5000}, ""},
		{"a thousand, backwards", numbers(1000), ""},
		{"one more", numbers(1001), "partNumbers"},
		{"zero", []int{1, 0}, "partNumbers[1]"},
		{"negative", []int{-1}, "partNumbers[0]"},
		{"beyond the last", []int{5001}, "partNumbers[0]"},
		{"twice", []int{7, 8, 7}, "partNumbers[2]"},
	} {
		parts, err := u.Parts(tc.numbers)
		if tc.field != "" {
			if !fault.Is(err, fault.InvalidArgument) || !strings.HasPrefix(err.Error(), tc.field+":") {
				t.Errorf("%s: %v, want it to blame %s", tc.name, err, tc.field)
			}
			continue
		}
		if err != nil || len(parts) != len(tc.numbers) {
			t.Errorf("%s: %d parts, %v", tc.name, len(parts), err)
		}
		for i, p := range parts {
			if p != u.Part(tc.numbers[i]) {
				t.Errorf("%s: part %d is %+v", tc.name, i, p)
			}
		}
	}
	if last := u.Part(5000); last.Size != limits.PartBytes-1 {
		t.Errorf("the last part has %d bytes", last.Size)
	}
}

func TestCheckStored(t *testing.T) {
	t.Parallel()
	u := multipart(2*limits.PartBytes+5, limits.PartBytes)
	all := u.FirstParts(3)
	edit := func(change func(parts []upload.Part) []upload.Part) []upload.Part { return change(slices.Clone(all)) }
	for _, tc := range []struct {
		name   string
		stored []upload.Part
		code   fault.Code
		text   string
	}{
		{"all", all, "", ""},
		{"none", nil, fault.PartsIncomplete, "3 of 3 parts are not there, the first is part 1"},
		{"without the first", all[1:], fault.PartsIncomplete, "1 of 3 parts are not there, the first is part 1"},
		{"without the middle", edit(func(p []upload.Part) []upload.Part { return append(p[:1], p[2]) }), fault.PartsIncomplete, "the first is part 2"},
		{"without the last", all[:2], fault.PartsIncomplete, "the first is part 3"},
		{"only the middle", all[1:2], fault.PartsIncomplete, "2 of 3 parts are not there, the first is part 1"},
		{"one too many", append(slices.Clone(all), upload.Part{Number: 4, Size: 5}), fault.SizeMismatch, "part 4"},
		{"a byte short", edit(func(p []upload.Part) []upload.Part { p[0].Size--; return p }), fault.SizeMismatch, "part 1 has"},
		{"a byte long", edit(func(p []upload.Part) []upload.Part { p[2].Size++; return p }), fault.SizeMismatch, "part 3 has"},
	} {
		err := u.CheckStored(tc.stored)
		if fault.CodeOf(err) != tc.code || !strings.Contains(fmt.Sprint(err), tc.text) {
			t.Errorf("%s: %v, want %s %q", tc.name, err, tc.code, tc.text)
		}
	}
}

func TestCheckNamed(t *testing.T) {
	t.Parallel()
	u := multipart(2*limits.PartBytes, limits.PartBytes)
	one, two := upload.Part{Number: 1, ETag: "a"}, upload.Part{Number: 2, ETag: "b"}
	for _, tc := range []struct {
		name  string
		parts []upload.Part
		field string
	}{
		{"both", []upload.Part{one, two}, ""},
		{"out of order", []upload.Part{two, one}, "parts[0].partNumber"},
		{"twice", []upload.Part{one, one}, "parts[1].partNumber"},
		{"one", []upload.Part{one}, "parts"},
		{"three", []upload.Part{one, two, {Number: 3, ETag: "c"}}, "parts"},
		{"none", []upload.Part{}, "parts"},
		{"no ETag", []upload.Part{one, {Number: 2}}, "parts[1].etag"},
	} {
		err := u.CheckNamed(tc.parts)
		if tc.field == "" && err != nil || tc.field != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.field+":")) {
			t.Errorf("%s: %v, want it to blame %q", tc.name, err, tc.field)
		}
	}
	if err := upload.CheckSame([]upload.Part{one, two}, []upload.Part{one, {Number: 2, ETag: "x"}}); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("another ETag: %v", err)
	}
	if err := upload.CheckSame(nil, []upload.Part{one}); err != nil {
		t.Errorf("parts left out: %v", err)
	}
}

// TestPartsDigest: only the same parts have the same digest.
func TestPartsDigest(t *testing.T) {
	t.Parallel()
	draw := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) upload.Part {
		return upload.Part{Number: rapid.IntRange(1, 12).Draw(t, "number"), ETag: rapid.StringMatching(`[ab]{1,2}`).Draw(t, "etag")}
	}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if slices.Equal(a, b) != (upload.PartsDigest(a) == upload.PartsDigest(b)) {
			t.Fatalf("%v and %v", a, b)
		}
	})
}

func TestComplete(t *testing.T) {
	t.Parallel()
	ready := func(edit func(*upload.Upload)) upload.Upload {
		u := multipart(1, limits.PartBytes)
		u.State, u.S3UploadID, u.Rev = upload.Uploading, "s3", 2
		if edit != nil {
			edit(&u)
		}
		return u
	}
	crc, other := digest(8), "AAAAAAAAAAE="
	for _, tc := range []struct {
		name string
		u    upload.Upload
		c    upload.Completion
		code fault.Code
	}{
		{"no checksum", ready(nil), upload.Completion{Parts: "p"}, ""},
		{"checksum now", ready(nil), upload.Completion{Parts: "p", CRC64NVME: crc}, ""},
		{"the same as before", ready(func(u *upload.Upload) { u.CRC64NVME = crc }), upload.Completion{CRC64NVME: crc}, ""},
		{"not again", ready(func(u *upload.Upload) { u.CRC64NVME = crc }), upload.Completion{}, ""},
		{"another one", ready(func(u *upload.Upload) { u.CRC64NVME = crc }), upload.Completion{CRC64NVME: other}, fault.InvalidArgument},
		{"no base64", ready(nil), upload.Completion{CRC64NVME: "x"}, fault.InvalidArgument},
		{"open", ready(func(u *upload.Upload) { u.State = upload.Open }), upload.Completion{}, fault.Conflict},
		{"aborted", ready(func(u *upload.Upload) { u.State = upload.Aborted }), upload.Completion{}, fault.UploadEnded},
		{"single", ready(func(u *upload.Upload) { u.Mode = upload.Single }), upload.Completion{}, fault.Conflict},
	} {
		done, err := tc.u.Complete(tc.c)
		if fault.CodeOf(err) != tc.code {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.code)
			continue
		}
		if err != nil {
			continue
		}
		want := tc.c.CRC64NVME
		if want == "" {
			want = tc.u.CRC64NVME
		}
		if done.State != upload.Completing || done.Rev != 3 || done.Checksum() != want {
			t.Errorf("%s: %+v", tc.name, done)
		}
	}
}

func TestCompletedBefore(t *testing.T) {
	t.Parallel()
	c := upload.Completion{Parts: "p", CRC64NVME: "c"}
	for _, state := range states() {
		u := upload.Upload{State: state, Completion: &c}
		moved := state == upload.Completing || state == upload.Uploaded || state == upload.Quarantined || state == upload.Available
		for _, tc := range []struct {
			again upload.Completion
			same  bool
		}{
			{c, true},
			{upload.Completion{CRC64NVME: "c"}, true},
			{upload.Completion{Parts: "q", CRC64NVME: "c"}, false},
			{upload.Completion{Parts: "p"}, false},
		} {
			done, err := u.Completed(tc.again)
			if done != (moved && tc.same) || fault.Is(err, fault.Conflict) != (moved && !tc.same) {
				t.Errorf("%s, completed again with %+v: %t, %v", state, tc.again, done, err)
			}
		}
	}
}
