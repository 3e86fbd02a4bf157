package ingest_test

import (
	"context"
	"errors"

	"github.com/stowage-dev/stowage/functions/internal/ingest"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// errLost is a call whose fate is not known.
var errLost = errors.New("connection lost")

var (
	_ ingest.Inspector  = (*flaky)(nil)
	_ ingest.Quarantine = (*flaky)(nil)
	_ ingest.Sealer     = (*flaky)(nil)
	_ ingest.Catalog    = (*flaky)(nil)
	_ ingest.Settler    = (*flaky)(nil)
)

func (f *flaky) Inspect(ctx context.Context, at object.Location) (facts object.Facts, err error) {
	err = f.pass("Inspect", func() (err error) { facts, err = f.quarantine.Inspect(ctx, at); return err })
	return facts, err
}

func (f *flaky) FirstBytes(ctx context.Context, at object.Location, n int) (head []byte, err error) {
	err = f.pass("FirstBytes", func() (err error) { head, err = f.quarantine.FirstBytes(ctx, at, n); return err })
	return head, err
}

func (f *flaky) SetVerdict(ctx context.Context, at object.Location, verdict string) error {
	return f.pass("SetVerdict", func() error { return f.quarantine.SetVerdict(ctx, at, verdict) })
}

func (f *flaky) Delete(ctx context.Context, at object.Location) error {
	return f.pass("Delete", func() error { return f.quarantine.Delete(ctx, at) })
}

func (f *flaky) Upload(ctx context.Context, ws, id string) (u upload.Upload, err error) {
	err = f.pass("Upload", func() (err error) { u, err = f.store.Upload(ctx, ws, id); return err })
	return u, err
}

func (f *flaky) Workspace(ctx context.Context, id string) (w workspace.Workspace, err error) {
	err = f.pass("Workspace", func() (err error) { w, err = f.store.Workspace(ctx, id); return err })
	return w, err
}

func (f *flaky) Publish(ctx context.Context, u upload.Upload, facts object.Facts) (o object.Object, err error) {
	err = f.pass("Publish", func() (err error) { o, err = f.store.Publish(ctx, u, facts); return err })
	return o, err
}

func (f *flaky) RejectUpload(ctx context.Context, u upload.Upload, facts object.Facts, why object.Reason) (r upload.Upload, err error) {
	err = f.pass("RejectUpload", func() (err error) { r, err = f.store.RejectUpload(ctx, u, facts, why); return err })
	return r, err
}

func (f *flaky) ReleaseUpload(ctx context.Context, ws, id string) error {
	return f.pass("ReleaseUpload", func() error { return f.store.ReleaseUpload(ctx, ws, id) })
}

func (f *flaky) Seal(ctx context.Context, key string) error {
	return f.pass("Seal", func() error { return f.sealer.Seal(ctx, key) })
}

func (f *flaky) Version(ctx context.Context, ws, id, version string) (v object.Version, err error) {
	err = f.pass("Version", func() (err error) { v, err = f.store.Version(ctx, ws, id, version); return err })
	return v, err
}

func (f *flaky) Hold(ctx context.Context, u upload.Upload, facts object.Facts) (held upload.Upload, err error) {
	err = f.pass("Hold", func() (err error) { held, err = f.store.Hold(ctx, u, facts); return err })
	return held, err
}

func (f *flaky) NoteUpload(ctx context.Context, ws, id string, why object.Reason) error {
	return f.pass("NoteUpload", func() error { return f.store.NoteUpload(ctx, ws, id, why) })
}

func (f *flaky) SetStorageClass(ctx context.Context, ws, id, version, class string) error {
	return f.pass("SetStorageClass", func() error { return f.store.SetStorageClass(ctx, ws, id, version, class) })
}
