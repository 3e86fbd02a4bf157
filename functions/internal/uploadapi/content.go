package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

type contentRequest struct {
	ObjectPath
	Version     string `query:"version" doc:"The id of an earlier version; without it, the current one."`
	Derivative  string `query:"derivative" enum:"256,1024" doc:"Of a picture: the copy whose longer side is at most so many pixels."`
	Disposition string `query:"disposition" enum:"attachment,inline" default:"attachment" doc:"Whether a browser should save or show it. Only pictures (not SVG), sounds, films, PDF documents and plain text are shown; all else, which a browser might run, is saved."`
	Redirect    string `query:"redirect" enum:"0,1" default:"0" doc:"1: answer 307 to the URL. Clients that pass Authorization on are refused by storage."`
	ExpiresIn   int    `query:"expiresIn" minimum:"1" maximum:"3600" default:"900" doc:"Seconds that the URL should live; it may live less."`
}

type contentAnswer struct {
	Status   int
	Location string `header:"Location" hidden:"true"` // of the 307, documented with the route
	Body     contentView
}

type contentView struct {
	URL       string    `json:"url" doc:"Reads the bytes, ranges too, until it expires. A credential: do not log it."`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (a *api) contentRoute(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "getContent", method: http.MethodGet, path: "/v1/objects/{id}/content", tag: "objects",
		summary: "Get a URL of an object's bytes",
		access:  toRead(), codes: []fault.Code{fault.NotFound, fault.NotAvailable},
		responses: map[string]*huma.Response{"307": {
			Description: "With redirect=1: the URL.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Content"}}},
			Headers:     map[string]*huma.Param{"Location": {Description: "The URL.", Schema: &huma.Schema{Type: "string", Format: "uri"}}},
		}},
	}, a.getContent)
}

func (a *api) getContent(ctx context.Context, in *contentRequest) (*contentAnswer, error) {
	o, err := a.object(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if o.State != object.Available {
		return nil, fault.New(fault.NotAvailable, "the object is %s, only available ones can be read", o.State).
			With("state", string(o.State))
	}
	disposition := shown(in.Disposition, o.ContentType)
	get := s3store.GetRequest{
		Key:         o.S3Key,
		VersionID:   o.S3VersionID,
		Disposition: s3store.ContentDisposition(disposition, o.Name),
		Expires:     time.Duration(in.ExpiresIn) * time.Second,
	}
	if in.Version != "" && in.Version != o.Version {
		if in.Derivative != "" {
			return nil, fault.Invalid("query.derivative", "derivatives are kept of the current version, %s, alone: leave version out", o.Version)
		}
		if err := a.earlier(ctx, o, in, &get); err != nil {
			return nil, err
		}
	}
	if in.Derivative != "" {
		if err := a.derivative(ctx, o, in.Derivative, in.Disposition, &get); err != nil {
			return nil, err
		}
	}
	signed, err := a.Signer.PresignGet(ctx, get)
	if err != nil {
		return nil, fmt.Errorf("sign the content of object %s: %w", o.ID, err)
	}
	out := &contentAnswer{Status: http.StatusOK, Body: contentView{URL: signed.URL, ExpiresAt: signed.ExpiresAt}}
	if in.Redirect == "1" {
		out.Status, out.Location = http.StatusTemporaryRedirect, signed.URL
	}
	return out, nil
}

// earlier has get read an earlier version of o.
func (a *api) earlier(ctx context.Context, o object.Object, in *contentRequest, get *s3store.GetRequest) error {
	if !object.IsID(in.Version) {
		return noVersion()
	}
	v, err := a.Catalog.Version(ctx, o.Workspace, o.ID, in.Version)
	switch {
	case fault.Is(err, fault.NotFound):
		return noVersion()
	case err != nil:
		return fmt.Errorf("read version %s of object %s: %w", in.Version, o.ID, err)
	case v.State != object.Available:
		return fault.New(fault.NotAvailable, "the version is %s, only available ones can be read", v.State).
			With("state", string(v.State))
	}
	get.Key, get.VersionID = v.S3Key, v.S3VersionID
	get.Disposition = s3store.ContentDisposition(shown(in.Disposition, v.ContentType), o.Name)
	return nil
}

func noVersion() error { return fault.New(fault.NotFound, "the object has no version with this id") }

// shown is the disposition of content of a type: what a browser might run is saved.
func shown(asked, contentType string) string {
	if !object.Showable(contentType) {
		return "attachment"
	}
	return asked
}
