package uploadapi

import (
	"context"
	"fmt"
	"mime"
	"path"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

type pictureView struct {
	Width       int         `json:"width,omitempty" doc:"Pixels, as the picture is shown: its orientation is applied."`
	Height      int         `json:"height,omitempty"`
	CapturedAt  *time.Time  `json:"capturedAt,omitempty" doc:"When the camera says it took the picture. One that tells no time zone is taken to be in UTC."`
	Derivatives []string    `json:"derivatives,omitempty" doc:"What derivative of the content may be asked for." example:"[\"256\",\"1024\"]"`
	Reason      *reasonView `json:"reason,omitempty" doc:"Why there are no derivatives."`
}

func viewPicture(p *object.Picture) *pictureView {
	if p == nil {
		return nil
	}
	return &pictureView{
		Width: p.Width, Height: p.Height, CapturedAt: viewTime(p.CapturedAt),
		Derivatives: p.Derivatives, Reason: viewReason(p.Reason),
	}
}

// derivative makes get the request of an object's derivative.
func (a *api) derivative(ctx context.Context, o object.Object, name, disposition string, get *s3store.GetRequest) error {
	d, err := a.Catalog.Derivative(ctx, o.Workspace, o.ID, name)
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && d.Version != o.Version:
		return noDerivative(o, name)
	case err != nil:
		return fmt.Errorf("read derivative %s of object %s: %w", name, o.ID, err)
	}
	get.Key, get.VersionID = d.S3Key, d.S3VersionID
	get.Disposition = s3store.ContentDisposition(disposition, derivativeName(o.Name, d))
	return nil
}

// noDerivative says why an available object lacks a derivative.
func noDerivative(o object.Object, name string) error {
	if o.Picture != nil && o.Picture.Reason != nil {
		return fault.New(fault.NotFound, "there is no derivative %s: %s", name, o.Picture.Reason.Detail).
			With("reason", string(o.Picture.Reason.Code))
	}
	return fault.New(fault.NotFound, "there is no derivative %s: the object is not an image, or its derivatives are still being made", name)
}

// derivativeName is under what name a derivative is saved: "photo-256.jpg" of "photo.png".
func derivativeName(name string, d object.Derivative) string {
	extension := ".jpg"
	if mediaType, _, err := mime.ParseMediaType(d.ContentType); err == nil && mediaType == "image/png" {
		extension = ".png"
	}
	return strings.TrimSuffix(name, path.Ext(name)) + "-" + d.Name + extension
}
