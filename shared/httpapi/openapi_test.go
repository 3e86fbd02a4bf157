package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/httpapi"
)

type since struct {
	Since time.Time `json:"since,omitzero"`
}

type holding[T any] struct {
	Body struct {
		Name string `json:"name"`
		Held T      `json:"held"`
	}
}

// described documents an API with an operation that answers with a T, and returns why that
// is refused.
func described[T any](t *testing.T) (refusal string) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil {
			refusal = fmt.Sprint(v)
		}
	}()
	doc := huma.OpenAPI{Info: &huma.Info{Title: "t", Version: "1"}, Components: &huma.Components{}}
	if _, err := httpapi.Document(doc, func(routes *httpapi.Routes) {
		httpapi.Register(routes, huma.Operation{OperationID: "getThing", Method: http.MethodGet, Path: "/v1/things"}, nil,
			func(context.Context, *struct{}) (*holding[T], error) { return &holding[T]{}, nil })
	}); err != nil {
		t.Fatal(err)
	}
	return ""
}

// TestAnswersAreNotToOmitZeros: the encoder of answers would not, and so their documents,
// which tests make of each API, are refused.
func TestAnswersAreNotToOmitZeros(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	if err := httpapi.Marshal(&written, since{}); err != nil || !strings.Contains(written.String(), "since") {
		t.Errorf("the encoder wrote %s, %v: where it knows omitzero, drop checkEncodable", &written, err)
	}
	for name, refusal := range map[string]string{
		"itself":    described[since](t),
		"a list":    described[[]since](t),
		"a map":     described[map[string]*since](t),
		"embedded":  described[struct{ since }](t),
		"a page":    described[struct{ Items [][1]since }](t),
		"in itself": described[struct{ Next *node }](t),
	} {
		if !strings.Contains(refusal, "getThing") || !strings.Contains(refusal, "omitzero") {
			t.Errorf("%s: refused with %q", name, refusal)
		}
	}
	if refusal := described[time.Time](t); refusal != "" {
		t.Errorf("an answer that omits nothing is refused with %q", refusal)
	}
}

// node is of a recursive type.
type node struct {
	Next *node     `json:"next,omitempty"`
	At   time.Time `json:"at,omitempty,omitzero"`
}
