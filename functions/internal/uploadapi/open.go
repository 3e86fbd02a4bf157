package uploadapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	// putLife and partLife are how long URLs live when the client does not say.
	putLife  = 15 * time.Minute
	partLife = time.Hour
	// lateBytes is how long after its URL an upload stays open. S3 looks at a URL's end
	// when the request begins: this is how long sending the bytes may then take.
	lateBytes = time.Hour
)

type newUpload struct {
	Body struct {
		Path        string            `json:"path" minLength:"1" maxLength:"1024" doc:"Segments separated by /; in Unicode NFC; at most 1024 bytes." example:"reports/2026/q3.pdf"`
		Size        int64             `json:"size" minimum:"0" doc:"Bytes, exactly." example:"482113"`
		ContentType string            `json:"contentType" minLength:"1" maxLength:"320" example:"application/pdf"`
		SHA256      string            `json:"sha256,omitempty" minLength:"44" maxLength:"44" doc:"Base64 of the SHA-256 of the bytes. Mode single needs it, mode multipart cannot have it." example:"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="`
		CRC64NVME   string            `json:"crc64nvme,omitempty" minLength:"12" maxLength:"12" doc:"Mode multipart: base64 of the CRC-64/NVME of the bytes. Without it the object's integrity is recorded, not verified. It can be said when completing, too." example:"rosUhgp5mIg="`
		Mode        string            `json:"mode,omitempty" enum:"single,multipart" default:"single" doc:"single: one PUT of at most 100 MiB. multipart: 1 to 10,000 parts, each a PUT of its own, in any order, for seven days."`
		PartSize    int64             `json:"partSize,omitempty" minimum:"5242880" maximum:"5368709120" doc:"Mode multipart: bytes of every part but the last. Chosen from the size when it is left out: 8 MiB or more." example:"8388608"`
		IfExists    string            `json:"ifExists,omitempty" enum:"fail,version" default:"fail" doc:"When an object owns the path: fail, or become its next version."`
		Tags        map[string]string `json:"tags,omitempty" doc:"At most 50."`
		Metadata    map[string]string `json:"metadata,omitempty" doc:"At most 2 KiB, names and values together."`
		ExpiresIn   int               `json:"expiresIn,omitempty" minimum:"1" maximum:"3600" doc:"Seconds that the signed URLs should live; they may live less. 900 when it is left out, 3600 in mode multipart."`
	}
}

type openedUpload struct {
	Location string `header:"Location"`
	Body     struct {
		Upload uploadView `json:"upload"`
		Put    *putView   `json:"put,omitempty" doc:"In mode single, while the upload is open: the request that stores the bytes."`
		Parts  []partView `json:"parts,omitempty" nullable:"false" doc:"In mode multipart, while the upload is open: the requests that store the first 100 parts, or all."`
	}
}

type putView struct {
	URL       string            `json:"url" doc:"A credential: do not log it."`
	Method    string            `json:"method" example:"PUT"`
	Headers   map[string]string `json:"headers" doc:"To be sent exactly so. The body must be exactly as long as was declared."`
	ExpiresAt time.Time         `json:"expiresAt" doc:"The request must begin before."`
}

func viewPut(s s3store.Signed) *putView {
	return &putView{URL: s.URL, Method: s.Method, Headers: s.Headers, ExpiresAt: s.ExpiresAt}
}

func (a *api) openRoute(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "openUpload", method: http.MethodPost, path: "/v1/uploads", tag: "uploads", status: http.StatusCreated,
		summary: "Open an upload",
		detail: "Reserves quota and answers with the requests that store the bytes: send each with exactly the headers given and a body of exactly the length. " +
			"In mode multipart, sign more parts as you need them and complete the upload at the end. Then poll the upload, or wait for the object's event.",
		access: toWrite(),
		codes:  []fault.Code{fault.NotFound, fault.PathTaken, fault.QuotaExceeded, fault.TooLarge, fault.UnsupportedType, fault.UploadEnded, fault.Conflict},
	}, a.openUpload)
}

// openedRef is what is kept of an opened upload for a repetition of the request.
type openedRef struct {
	ID string `json:"id"`
}

func (a *api) openUpload(ctx context.Context, in *newUpload) (*openedUpload, error) {
	var u upload.Upload
	ref, err := once(ctx, a, func(ctx context.Context, claim idempotency.Claim) (openedRef, error) {
		var err error
		u, err = a.open(ctx, in, claim)
		return openedRef{ID: u.ID}, err
	})
	if err != nil {
		return nil, err
	}
	if u.ID == "" { // a repetition: opened before
		if u, err = a.upload(ctx, ref.ID); err != nil {
			return nil, err
		}
	}
	out := &openedUpload{Location: "/v1/uploads/" + u.ID}
	out.Body.Upload = viewUpload(u)
	if err := a.plan(ctx, in, u, out); err != nil {
		return nil, err
	}
	return out, nil
}

// plan signs what the client is to send, unless it has nothing to send any more.
func (a *api) plan(ctx context.Context, in *newUpload, u upload.Upload, out *openedUpload) error {
	if !a.now().Before(u.ExpiresAt) {
		return nil
	}
	var err error
	switch {
	case u.State == upload.Open && u.Mode == upload.Single:
		var put s3store.Signed
		put, err = a.signPut(ctx, u, life(in.Body.ExpiresIn, putLife))
		out.Body.Put = viewPut(put)
	case u.State == upload.Uploading:
		out.Body.Parts, err = a.signParts(ctx, u, u.FirstParts(limits.FirstParts), life(in.Body.ExpiresIn, partLife))
	}
	return err
}

// life is how long a URL should live: as many seconds as were asked for, if any were.
func life(seconds int, otherwise time.Duration) time.Duration {
	if seconds == 0 {
		return otherwise
	}
	return time.Duration(seconds) * time.Second
}

// open makes the upload that in asks for, with the id of the claim.
func (a *api) open(ctx context.Context, in *newUpload, claim idempotency.Claim) (upload.Upload, error) {
	if !claim.First() {
		u, err := a.Catalog.Upload(ctx, tenancy.CallerFrom(ctx).Workspace, claim.ID)
		if err == nil {
			return a.started(ctx, u)
		}
		if !fault.Is(err, fault.NotFound) {
			return upload.Upload{}, fmt.Errorf("read upload %s: %w", claim.ID, err)
		}
	}
	w, err := a.workspace(ctx)
	if err != nil {
		return upload.Upload{}, err
	}
	u, err := a.declared(ctx, in, claim.ID)
	if err != nil {
		return upload.Upload{}, err
	}
	if err := admit(w, u); err != nil {
		return upload.Upload{}, fault.Inside("body.", err)
	}
	if u.ObjectID, err = a.objectAt(ctx, u); err != nil {
		return upload.Upload{}, err
	}
	if err := a.Signer.Ready(ctx); err != nil { // without a session there must be no reservation
		return upload.Upload{}, fmt.Errorf("open upload %s: %w", u.ID, err)
	}
	opened, err := a.Catalog.OpenUpload(ctx, w, u)
	if err != nil {
		return upload.Upload{}, fmt.Errorf("open upload %s: %w", u.ID, err)
	}
	return a.started(ctx, opened)
}

// declared is the upload that a client asks for, with the object it would create.
func (a *api) declared(ctx context.Context, in *newUpload, id string) (upload.Upload, error) {
	c, now := tenancy.CallerFrom(ctx), a.now()
	objectID, err := newObjectID(id)
	if err != nil {
		return upload.Upload{}, err
	}
	u := upload.Upload{
		Workspace:   c.Workspace,
		ID:          id,
		ObjectID:    objectID,
		Path:        in.Body.Path,
		Size:        in.Body.Size,
		ContentType: in.Body.ContentType,
		SHA256:      in.Body.SHA256,
		CRC64NVME:   in.Body.CRC64NVME,
		Mode:        upload.Mode(in.Body.Mode),
		PartSize:    in.Body.PartSize,
		IfExists:    upload.IfExists(in.Body.IfExists),
		Tags:        in.Body.Tags,
		Metadata:    in.Body.Metadata,
		CreatedBy:   c.Sub,
		CreatedAt:   now,
		// A multipart upload gets its seven days once storage has begun it.
		ExpiresAt: now.Add(life(in.Body.ExpiresIn, putLife) + lateBytes),
	}
	if u.Mode == upload.Multipart && u.PartSize == 0 {
		u.PartSize = upload.DefaultPartSize(u.Size)
	}
	return u, nil
}

// newObjectID derives the id of the object that an upload would create, so that it is the
// same at every attempt of one request.
func newObjectID(uploadID string) (string, error) {
	id, err := ulid.ParseStrict(uploadID)
	if err != nil {
		return "", fmt.Errorf("derive an object's id from upload %q: %w", uploadID, err)
	}
	sum := sha256.Sum256([]byte("object of upload " + uploadID))
	if err := id.SetEntropy(sum[:10]); err != nil {
		return "", fmt.Errorf("derive an object's id from upload %q: %w", uploadID, err)
	}
	return id.String(), nil
}

// admit refuses what can be refused before anything is read or written of the upload.
func admit(w workspace.Workspace, u upload.Upload) error {
	if err := u.Validate(); err != nil {
		return err
	}
	if err := headerSafe(u.ContentType); err != nil {
		return err
	}
	return w.Types.Permits(u.ContentType)
}

// headerSafe refuses a content type that HTTP clients and signers would not send and
// sign as it stands: they trim, fold and re-encode such values, each in its way.
func headerSafe(contentType string) error {
	for i := range len(contentType) {
		c, doubled := contentType[i], i > 0 && contentType[i] == ' ' && contentType[i-1] == ' '
		if c < ' ' || c > '~' || doubled || c == ' ' && (i == 0 || i == len(contentType)-1) {
			return fault.Invalid("contentType", "holds a character that does not survive in a header")
		}
	}
	return nil
}

// objectAt is the object whose version the upload becomes: the owner of the path, or the
// new one.
func (a *api) objectAt(ctx context.Context, u upload.Upload) (string, error) {
	owner, err := a.Catalog.PathOwner(ctx, u.Workspace, u.Path)
	switch {
	case fault.Is(err, fault.NotFound):
		return u.ObjectID, nil
	case err != nil:
		return "", fmt.Errorf("read the owner of the path: %w", err)
	case u.IfExists == upload.Fail:
		return "", fault.New(fault.PathTaken, "an object owns this path: use ifExists=version to add a version to it").
			With("objectId", owner)
	default:
		return owner, nil
	}
}

// started has storage begin a multipart upload, where that has not happened.
func (a *api) started(ctx context.Context, u upload.Upload) (upload.Upload, error) {
	if u.Mode != upload.Multipart || u.State != upload.Open {
		return u, nil
	}
	s3UploadID, err := a.Storage.CreateMultipart(ctx, u)
	if err != nil {
		return upload.Upload{}, fmt.Errorf("begin upload %s: %w", u.ID, err)
	}
	begun, err := a.Catalog.StartMultipart(ctx, u.Workspace, u.ID, s3UploadID)
	if err == nil && begun.S3UploadID == s3UploadID {
		return begun, nil
	}
	if err == nil || fault.Permanent(err) { // otherwise the catalog may hold it
		err = errors.Join(err, a.discard(ctx, u, s3UploadID))
	}
	if err != nil {
		return upload.Upload{}, fmt.Errorf("begin upload %s: %w", u.ID, err)
	}
	return begun, nil
}

// discard aborts what this attempt began in storage when another one was first.
func (a *api) discard(ctx context.Context, u upload.Upload, s3UploadID string) error {
	u.S3UploadID = s3UploadID
	if err := a.Storage.AbortMultipart(ctx, u); err != nil {
		return fmt.Errorf("abort what was begun twice: %w", err)
	}
	return nil
}

// signPut signs the one request of a single upload.
func (a *api) signPut(ctx context.Context, u upload.Upload, asked time.Duration) (s3store.Signed, error) {
	put, err := a.Signer.PresignPut(ctx, s3store.PutRequest{
		Key: u.S3Key, Size: u.Size, ContentType: u.ContentType, SHA256: u.SHA256, Expires: min(asked, u.ExpiresAt.Sub(a.now())),
	})
	if err != nil {
		return s3store.Signed{}, fmt.Errorf("sign the put of upload %s: %w", u.ID, err)
	}
	return put, nil
}
