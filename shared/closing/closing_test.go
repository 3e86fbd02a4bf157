package closing_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
)

var errDown = errors.New("down")

// steps notes what is done, and fails at one step. The real storage and catalog are
// closed by the tests of the sweeper.
type steps struct {
	done   []string
	failAt string
}

func (s *steps) step(name string) error {
	s.done = append(s.done, name)
	if name == s.failAt {
		return errDown
	}
	return nil
}

func (s *steps) AbortUntilGone(context.Context, upload.Upload) error       { return s.step("abort") }
func (s *steps) Seal(context.Context, string) error                        { return s.step("seal") }
func (s *steps) ReleaseUpload(_ context.Context, _ /*ws*/, _ string) error { return s.step("release") }

func TestStepsInTheirOrder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		state      upload.State
		s3UploadID string
		failAt     string
		want       []string
		code       fault.Code
	}{
		{"aborted", upload.Aborted, "", "", []string{"seal", "release"}, ""},
		{"expired", upload.Expired, "", "", []string{"seal", "release"}, ""},
		{"rejected", upload.Rejected, "", "", []string{"seal", "release"}, ""},
		{"multipart", upload.Aborted, "id", "", []string{"abort", "seal", "release"}, ""},
		{"parts keep arriving", upload.Aborted, "id", "abort", []string{"abort"}, fault.Internal},
		{"the key stays open", upload.Aborted, "id", "seal", []string{"abort", "seal"}, fault.Internal},
		{"open", upload.Open, "", "", nil, fault.Conflict},
		{"uploading", upload.Uploading, "id", "", nil, fault.Conflict},
		{"completing", upload.Completing, "id", "", nil, fault.Conflict},
		{"uploaded", upload.Uploaded, "id", "", nil, fault.Conflict},
		{"published", upload.Available, "", "", nil, fault.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &steps{failAt: tc.failAt}
			err := closing.New(s, s).Close(t.Context(), upload.Upload{State: tc.state, S3UploadID: tc.s3UploadID})
			if fault.CodeOf(err) != tc.code || tc.failAt != "" && !errors.Is(err, errDown) {
				t.Errorf("error is %v, want code %q", err, tc.code)
			}
			if diff := cmp.Diff(tc.want, s.done); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}
