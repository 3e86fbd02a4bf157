package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// lateBytes is how long after its URL an upload stays open. S3 looks at a URL's end when
// the request begins: this is how long sending the bytes may then take.
const lateBytes = time.Hour

type uploadView struct {
	ID          string          `json:"id" doc:"Also the id of the version that the upload becomes."`
	ObjectID    string          `json:"objectId"`
	Path        string          `json:"path"`
	State       upload.State    `json:"state" enum:"open,uploading,completing,uploaded,available,rejected,expired,aborted"`
	Size        int64           `json:"size"`
	ContentType string          `json:"contentType"`
	Mode        upload.Mode     `json:"mode" enum:"single,multipart"`
	IfExists    upload.IfExists `json:"ifExists" enum:"fail,version"`
	Reason      *reasonView     `json:"reason,omitempty"`
	CreatedAt   time.Time       `json:"createdAt"`
	CreatedBy   string          `json:"createdBy"`
	ExpiresAt   time.Time       `json:"expiresAt" doc:"When the upload ends if nothing has arrived."`
	EndedAt     *time.Time      `json:"endedAt,omitempty"`
}

type reasonView struct {
	Code   fault.Code `json:"code"`
	Detail string     `json:"detail"`
}

func viewUpload(u upload.Upload) uploadView {
	return uploadView{
		ID: u.ID, ObjectID: u.ObjectID, Path: u.Path, State: u.State, Size: u.Size,
		ContentType: u.ContentType, Mode: u.Mode, IfExists: u.IfExists, Reason: viewReason(u.Reason),
		CreatedAt: u.CreatedAt.UTC(), CreatedBy: u.CreatedBy,
		ExpiresAt: u.ExpiresAt.UTC(), EndedAt: viewTime(u.EndedAt),
	}
}

func viewReason(r *object.Reason) *reasonView {
	if r == nil {
		return nil
	}
	return &reasonView{Code: r.Code, Detail: r.Detail}
}

// viewTime is nil for a time that has not come.
func viewTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type putView struct {
	URL       string            `json:"url" doc:"A credential: do not log it."`
	Method    string            `json:"method" example:"PUT"`
	Headers   map[string]string `json:"headers" doc:"To be sent exactly so. The body must be exactly as long as was declared."`
	ExpiresAt time.Time         `json:"expiresAt" doc:"The request must begin before."`
}

type newUpload struct {
	Body struct {
		Path        string            `json:"path" minLength:"1" maxLength:"1024" doc:"Segments separated by /; in Unicode NFC; at most 1024 bytes." example:"reports/2026/q3.pdf"`
		Size        int64             `json:"size" minimum:"0" doc:"Bytes, exactly." example:"482113"`
		ContentType string            `json:"contentType" minLength:"1" maxLength:"320" example:"application/pdf"`
		SHA256      string            `json:"sha256" minLength:"44" maxLength:"44" doc:"Base64 of the SHA-256 of the bytes." example:"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="`
		Mode        string            `json:"mode,omitempty" enum:"single" default:"single" doc:"single: one PUT of at most 100 MiB."`
		IfExists    string            `json:"ifExists,omitempty" enum:"fail,version" default:"fail" doc:"When an object owns the path: fail, or become its next version."`
		Tags        map[string]string `json:"tags,omitempty" doc:"At most 50."`
		Metadata    map[string]string `json:"metadata,omitempty" doc:"At most 2 KiB, names and values together."`
		ExpiresIn   int               `json:"expiresIn,omitempty" minimum:"1" maximum:"3600" default:"900" doc:"Seconds that the signed URL should live; it may live less."`
	}
}

type openedUpload struct {
	Location string `header:"Location"`
	Body     struct {
		Upload uploadView `json:"upload"`
		Put    putView    `json:"put"`
	}
}

type uploadPath struct {
	ID string `path:"id" maxLength:"64" doc:"The upload's id."`
}

type uploadAnswer struct {
	Body uploadView
}

func (a *api) uploadRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "openUpload", method: http.MethodPost, path: "/v1/uploads", tag: "uploads", status: http.StatusCreated,
		summary: "Open an upload",
		detail:  "Reserves quota and answers with the one request that stores the bytes: send it with exactly the headers given. Then poll the upload, or wait for the object's event.",
		access:  toWrite(),
		codes:   []fault.Code{fault.NotFound, fault.PathTaken, fault.QuotaExceeded, fault.TooLarge, fault.UnsupportedType},
	}, a.openUpload)
	register(a, routes, operation{
		id: "getUpload", method: http.MethodGet, path: "/v1/uploads/{id}", tag: "uploads",
		summary: "Read an upload",
		access:  toRead(), codes: []fault.Code{fault.NotFound},
	}, a.getUpload)
	register(a, routes, operation{
		id: "abortUpload", method: http.MethodDelete, path: "/v1/uploads/{id}", tag: "uploads", status: http.StatusNoContent,
		summary: "Abort an upload",
		detail:  "Gives its reservation back. Bytes that still arrive are deleted. Aborting twice changes nothing.",
		access:  toWrite(), codes: []fault.Code{fault.NotFound, fault.UploadEnded},
	}, a.abortUpload)
}

func (a *api) openUpload(ctx context.Context, in *newUpload) (*openedUpload, error) {
	w, err := a.workspace(ctx)
	if err != nil {
		return nil, err
	}
	u := a.declared(ctx, in)
	if err := admit(w, u); err != nil {
		return nil, inBody(err)
	}
	if u.ObjectID, err = a.objectAt(ctx, u); err != nil {
		return nil, err
	}
	// Signed first: a session that cannot be had must not leave a reservation.
	put, err := a.Signer.PresignPut(ctx, s3store.PutRequest{
		Key:  object.Key(u.Workspace, u.ObjectID, u.ID),
		Size: u.Size, ContentType: u.ContentType, SHA256: u.SHA256,
		Expires: time.Duration(in.Body.ExpiresIn) * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("sign the put of upload %s: %w", u.ID, err)
	}
	u.ExpiresAt = put.ExpiresAt.Add(lateBytes)
	if u, err = a.Catalog.OpenUpload(ctx, w, u); err != nil {
		return nil, fmt.Errorf("open upload %s: %w", u.ID, err)
	}
	out := &openedUpload{Location: "/v1/uploads/" + u.ID}
	out.Body.Upload = viewUpload(u)
	out.Body.Put = putView{URL: put.URL, Method: put.Method, Headers: put.Headers, ExpiresAt: put.ExpiresAt}
	return out, nil
}

// declared is the upload that a client asks for, with the object it would create.
func (a *api) declared(ctx context.Context, in *newUpload) upload.Upload {
	c := callerFrom(ctx)
	return upload.Upload{
		Workspace:   c.workspace,
		ID:          a.NewID(),
		ObjectID:    a.NewID(),
		Path:        in.Body.Path,
		Size:        in.Body.Size,
		ContentType: in.Body.ContentType,
		SHA256:      in.Body.SHA256,
		Mode:        upload.Mode(in.Body.Mode),
		IfExists:    upload.IfExists(in.Body.IfExists),
		Tags:        in.Body.Tags,
		Metadata:    in.Body.Metadata,
		CreatedBy:   c.sub,
		CreatedAt:   a.now(),
	}
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

func (a *api) getUpload(ctx context.Context, in *uploadPath) (*uploadAnswer, error) {
	if !object.IsID(in.ID) {
		return nil, noUpload()
	}
	u, err := a.Catalog.Upload(ctx, callerFrom(ctx).workspace, in.ID)
	if err != nil {
		return nil, fmt.Errorf("read upload %s: %w", in.ID, err)
	}
	return &uploadAnswer{Body: viewUpload(u)}, nil
}

func noUpload() error { return fault.New(fault.NotFound, "there is no upload with this id") }

func (a *api) abortUpload(ctx context.Context, in *uploadPath) (*struct{}, error) {
	if !object.IsID(in.ID) {
		return nil, noUpload()
	}
	if _, err := a.Catalog.EndUpload(ctx, callerFrom(ctx).workspace, in.ID, upload.Abort, upload.Client); err != nil {
		return nil, fmt.Errorf("abort upload %s: %w", in.ID, err)
	}
	return nil, nil
}
