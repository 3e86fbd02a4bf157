package httpapi_test

import (
	"testing"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

// TestStatusOfEveryCode: statuses and types are part of the API.
func TestStatusOfEveryCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[fault.Code]int{
		fault.InvalidArgument:        400,
		fault.WorkspaceRequired:      400,
		fault.Unauthenticated:        401,
		fault.QuotaExceeded:          402,
		fault.Forbidden:              403,
		fault.NotFound:               404,
		httpapi.MethodNotAllowed:     405,
		fault.Conflict:               409,
		fault.PathTaken:              409,
		fault.UploadEnded:            409,
		fault.NotAvailable:           409,
		fault.QuotaInUse:             409,
		fault.IdempotencyInProgress:  409,
		fault.PreconditionFailed:     412,
		fault.TooLarge:               413,
		fault.UnsupportedType:        415,
		httpapi.UnsupportedMediaType: 415,
		fault.IdempotencyReused:      422,
		fault.ChecksumMismatch:       422,
		fault.SizeMismatch:           422,
		fault.RateLimited:            429,
		fault.Internal:               500,
		fault.Unavailable:            503,
	} {
		p := httpapi.NewProblem(t.Context(), code, "because")
		if p.Status != want || p.Code != code || p.Type != "https://stowage.dev/problems/"+string(code) || p.Title == "" {
			t.Errorf("%s: %+v, want status %d", code, p, want)
		}
		if hidden := p.Detail != "because"; hidden != (code == fault.Internal) {
			t.Errorf("%s: detail %q", code, p.Detail)
		}
	}
}
