package ingest

import (
	"context"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// refusal is a verdict: the bytes are not what was declared, or not allowed. It is
// told from an error that kept a verdict from being reached.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// lost says that a version is not there any more.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// missing tells the error of a version that is gone from other errors.
func missing(err error) error {
	if fault.Is(err, fault.NotFound) {
		return lost{err}
	}
	return err
}

// verify compares a version with what its upload declared. Whatever the size of the
// object, it makes one HEAD and reads at most sniffBytes.
func (h *Handler) verify(ctx context.Context, u upload.Upload, at object.Location) (object.Facts, error) {
	facts, err := h.Inspector.Inspect(ctx, at)
	if err != nil {
		return facts, missing(err)
	}
	if facts.Integrity, err = checkBytes(u, facts); err != nil {
		return facts, refusal{err}
	}
	ws, err := h.Catalog.Workspace(ctx, u.Workspace)
	if err != nil {
		return facts, err
	}
	var head []byte
	if facts.Size > 0 {
		if head, err = h.Inspector.FirstBytes(ctx, at, sniffBytes); err != nil {
			return facts, missing(err)
		}
	}
	if facts.DetectedType, err = checkType(ws.Types, u.ContentType, head); err != nil {
		return facts, refusal{err}
	}
	return facts, nil
}

// checkBytes compares size and checksums with those declared. Bytes without a
// declared checksum are recorded, not verified.
func checkBytes(u upload.Upload, f object.Facts) (object.Integrity, error) {
	if f.Size != u.Size {
		return "", fault.New(fault.SizeMismatch, "declared %d bytes, got %d", u.Size, f.Size)
	}
	declared := 0
	for _, sum := range []struct{ name, declared, stored string }{
		{"SHA-256", u.SHA256, f.SHA256},
		{"CRC-64/NVME", u.Checksum(), f.CRC64NVME},
	} {
		switch {
		case sum.declared == "":
			continue
		case sum.stored == "":
			return "", fault.New(fault.ChecksumMismatch, "declared %s %s, but the bytes were stored without one", sum.name, sum.declared)
		case sum.declared != sum.stored:
			return "", fault.New(fault.ChecksumMismatch, "declared %s %s, got %s", sum.name, sum.declared, sum.stored)
		}
		declared++
	}
	if declared == 0 {
		return object.Recorded, nil
	}
	return object.Verified, nil
}
