package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// partView is the request that stores one part.
type partView struct {
	PartNumber int               `json:"partNumber"`
	Size       int64             `json:"size" doc:"Bytes, exactly: any other length is refused."`
	URL        string            `json:"url" doc:"A credential: do not log it."`
	Method     string            `json:"method" example:"PUT"`
	Headers    map[string]string `json:"headers" doc:"To be sent exactly so."`
	ExpiresAt  time.Time         `json:"expiresAt" doc:"The request must begin before."`
}

// storedPartView is a part that storage has.
type storedPartView struct {
	PartNumber int    `json:"partNumber"`
	Size       int64  `json:"size"`
	ETag       string `json:"etag" doc:"Without quotes."`
}

type partsToSign struct {
	ID   string `path:"id" maxLength:"64" doc:"The upload's id."`
	Body struct {
		PartNumbers []int `json:"partNumbers" nullable:"false" minItems:"1" maxItems:"1000" doc:"From 1 to the upload's partCount, each once."`
		ExpiresIn   int   `json:"expiresIn,omitempty" minimum:"1" maximum:"3600" doc:"Seconds that the signed URLs should live; they may live less. 3600 when it is left out."`
	}
}

type signedParts struct {
	Body struct {
		Parts []partView `json:"parts" nullable:"false"`
	}
}

type partList struct {
	httpapi.PageQuery
	ID string `path:"id" maxLength:"64" doc:"The upload's id."`
}

type partPage struct {
	Body struct {
		PartSize   int64            `json:"partSize" doc:"Bytes of every part but the last."`
		PartCount  int              `json:"partCount"`
		Items      []storedPartView `json:"items" nullable:"false"`
		NextCursor *string          `json:"nextCursor" doc:"For the next page; null on the last one."`
	}
}

type partsToComplete struct {
	ID   string `path:"id" maxLength:"64" doc:"The upload's id."`
	Body struct {
		Parts     []partToComplete `json:"parts,omitempty" nullable:"false" minItems:"1" maxItems:"10000" doc:"Every part, in order. Left out: what storage has, which must be every part."`
		CRC64NVME string           `json:"crc64nvme,omitempty" minLength:"12" maxLength:"12" doc:"Base64 of the CRC-64/NVME of all bytes, for clients that know it only now." example:"rosUhgp5mIg="`
	}
}

type partToComplete struct {
	PartNumber int    `json:"partNumber" minimum:"1" maximum:"10000"`
	ETag       string `json:"etag" minLength:"1" maxLength:"64" doc:"As storage answered it, with or without quotes."`
}

type completedUpload struct {
	Status int
	Body   struct {
		Upload uploadView `json:"upload"`
	}
}

func (a *api) partRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "signParts", method: http.MethodPost, path: "/v1/uploads/{id}/parts", tag: "uploads",
		summary: "Sign parts of a multipart upload",
		detail:  "Again as often as needed: to send a part again, or when its URL has expired.",
		access:  toWrite(), codes: []fault.Code{fault.NotFound, fault.UploadEnded, fault.Conflict},
	}, a.postParts)
	register(a, routes, operation{
		id: "listParts", method: http.MethodGet, path: "/v1/uploads/{id}/parts", tag: "uploads",
		summary: "List the parts that storage has",
		detail:  "To go on with an upload after a crash, or on another machine: send the parts that are missing or have another size.",
		access:  toRead(), codes: []fault.Code{fault.NotFound, fault.UploadEnded, fault.Conflict},
	}, a.getParts)
	register(a, routes, operation{
		id: "completeUpload", method: http.MethodPost, path: "/v1/uploads/{id}/complete", tag: "uploads",
		summary: "Complete a multipart upload",
		detail:  "Completing twice in the same way changes nothing. A refusal leaves the upload as it was, to be put right.",
		access:  toWrite(),
		codes: []fault.Code{fault.NotFound, fault.UploadEnded, fault.Conflict, fault.PartsIncomplete,
			fault.SizeMismatch, fault.ChecksumMismatch},
		responses: map[string]*huma.Response{"202": {
			Description: "Storage needs longer: poll the upload.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/CompletedUploadBody"}}},
		}},
	}, a.completeUpload)
}

func (a *api) postParts(ctx context.Context, in *partsToSign) (*signedParts, error) {
	var u upload.Upload
	_, err := once(ctx, a, func(ctx context.Context, _ idempotency.Claim) (nothing, error) {
		var err error
		u, err = a.takingParts(ctx, in.ID)
		return nothing{}, err
	})
	if err != nil {
		return nil, err
	}
	if u.ID == "" { // a repetition
		if u, err = a.takingParts(ctx, in.ID); err != nil {
			return nil, err
		}
	}
	parts, err := u.Parts(in.Body.PartNumbers)
	if err != nil {
		return nil, fault.Inside("body.", err)
	}
	out := &signedParts{}
	if out.Body.Parts, err = a.signParts(ctx, u, parts, life(in.Body.ExpiresIn, partLife)); err != nil {
		return nil, err
	}
	return out, nil
}

// takingParts reads a multipart upload whose client may send parts.
func (a *api) takingParts(ctx context.Context, id string) (upload.Upload, error) {
	u, err := a.multipart(ctx, id)
	if err != nil {
		return upload.Upload{}, err
	}
	if _, err := upload.Transition(u.State, upload.SignParts, upload.Client); err != nil {
		return upload.Upload{}, fmt.Errorf("sign parts of upload %s: %w", id, err)
	}
	if !a.now().Before(u.ExpiresAt) {
		return upload.Upload{}, fault.New(fault.UploadEnded, "the upload has expired: open a new one")
	}
	return a.started(ctx, u)
}

// multipart reads an upload that has parts.
func (a *api) multipart(ctx context.Context, id string) (upload.Upload, error) {
	u, err := a.upload(ctx, id)
	if err != nil {
		return upload.Upload{}, err
	}
	if u.Mode != upload.Multipart {
		return upload.Upload{}, fault.New(fault.Conflict, "the upload has mode %s: it has no parts", u.Mode).With("mode", string(u.Mode))
	}
	return u, nil
}

// signParts signs the requests that store parts of u.
func (a *api) signParts(ctx context.Context, u upload.Upload, parts []upload.Part, asked time.Duration) ([]partView, error) {
	signed, err := a.Signer.PresignParts(ctx, u, parts, min(asked, u.ExpiresAt.Sub(a.now())))
	if err != nil {
		return nil, fmt.Errorf("sign parts of upload %s: %w", u.ID, err)
	}
	views := make([]partView, len(signed))
	for i, s := range signed {
		views[i] = partView{
			PartNumber: parts[i].Number, Size: parts[i].Size,
			URL: s.URL, Method: s.Method, Headers: s.Headers, ExpiresAt: s.ExpiresAt,
		}
	}
	return views, nil
}

func (a *api) getParts(ctx context.Context, in *partList) (*partPage, error) {
	u, err := a.multipart(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if u.State.Ended() {
		return nil, fault.New(fault.UploadEnded, "the upload is %s and has no parts any more", u.State).With("state", string(u.State))
	}
	stored, next, err := list(ctx, a.Cursors, "parts of "+u.ID, in.PageQuery, func(page catalog.Page) ([]upload.Part, string, error) {
		return a.storedParts(ctx, u, page)
	})
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Wrap(fault.Conflict, err, "the upload is %s: storage has no parts of it any more", u.State).With("state", string(u.State))
	}
	if err != nil {
		return nil, err
	}
	out := &partPage{}
	out.Body.PartSize, out.Body.PartCount, out.Body.NextCursor = u.PartSize, u.PartCount(), next
	out.Body.Items = make([]storedPartView, len(stored))
	for i, p := range stored {
		out.Body.Items[i] = storedPartView{PartNumber: p.Number, Size: p.Size, ETag: p.ETag}
	}
	return out, nil
}

// storedParts lists what storage has. The position of a page is the part number before it.
func (a *api) storedParts(ctx context.Context, u upload.Upload, page catalog.Page) ([]upload.Part, string, error) {
	if u.S3UploadID == "" {
		return nil, "", nil // storage was not asked to begin yet
	}
	after := 0
	if page.After != "" {
		var err error
		if after, err = strconv.Atoi(page.After); err != nil {
			return nil, "", fmt.Errorf("read the position %q: %w", page.After, err)
		}
	}
	parts, next, err := a.Storage.ListParts(ctx, u, after, page.Limit)
	if err != nil || next == 0 {
		return parts, "", err
	}
	return parts, strconv.Itoa(next), nil
}

func (a *api) completeUpload(ctx context.Context, in *partsToComplete) (*completedUpload, error) {
	if !object.IsID(in.ID) {
		return nil, noUpload()
	}
	var u upload.Upload
	err := onceOnly(ctx, a, func(ctx context.Context) error {
		var err error
		u, err = a.completer.Complete(ctx, tenancy.CallerFrom(ctx).Workspace, in.ID, completion.Request{
			Parts: named(in.Body.Parts), CRC64NVME: in.Body.CRC64NVME,
		})
		return err
	})
	if err != nil {
		return nil, fault.Inside("body.", fmt.Errorf("complete upload %s: %w", in.ID, err))
	}
	if u.ID == "" { // a repetition
		if u, err = a.upload(ctx, in.ID); err != nil {
			return nil, err
		}
	}
	out := &completedUpload{Status: http.StatusOK}
	if u.State == upload.Completing {
		out.Status = http.StatusAccepted
	}
	out.Body.Upload = viewUpload(u)
	return out, nil
}

// named are the parts that the client names: nil when it names none.
func named(parts []partToComplete) []upload.Part {
	if parts == nil {
		return nil
	}
	domain := make([]upload.Part, len(parts))
	for i, p := range parts {
		domain[i] = upload.Part{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`)}
	}
	return domain
}
