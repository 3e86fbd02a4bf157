package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

type thingPath struct {
	ID string `path:"id"`
}

type thing struct {
	Body struct {
		ID string `json:"id"`
	}
}

// A handler is an http.Handler; in Lambda, a Gateway calls it.
func Example() {
	mux := http.NewServeMux()
	routes := httpapi.NewRoutes(mux)
	httpapi.Register(routes, huma.Operation{OperationID: "getThing", Method: http.MethodGet, Path: "/v1/things/{id}"},
		[]fault.Code{fault.NotFound},
		func(_ context.Context, in *thingPath) (*thing, error) {
			if in.ID != "1" {
				return nil, fault.New(fault.NotFound, "there is no thing %s", in.ID)
			}
			out := &thing{}
			out.Body.ID = in.ID
			return out, nil
		})
	gateway := httpapi.NewGateway(httpapi.Wrap(mux, options(io.Discard)))

	for _, path := range []string{"/v1/things/1", "/v1/things/2"} {
		in := events.APIGatewayV2HTTPRequest{RawPath: path}
		in.RequestContext.HTTP.Method = http.MethodGet
		in.RequestContext.RequestID = "Jk1="
		out, err := gateway.Handle(context.Background(), in)
		fmt.Print(out.StatusCode, " ", out.Body)
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 200 {"id":"1"}
	// 404 {"type":"https://stowage.dev/problems/not_found","title":"Not found","status":404,"detail":"there is no thing 2","code":"not_found","instance":"Jk1="}
}
