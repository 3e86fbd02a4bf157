package authorize_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
)

// BenchmarkIntercept is what enforcement adds to a call, without looking up an object's tags.
func BenchmarkIntercept(b *testing.B) {
	a, err := authorize.New(config())
	if err != nil {
		b.Fatal(err)
	}
	derive := operation.New(operation.Config{Region: region, Account: account})
	caller := &identity.Caller{PrincipalARN: "arn:aws:sts::000000000000:assumed-role/ingest/fn", RoleARN: ingest, UserID: "AROA1:fn", Issued: time.Now()}
	for name, service := range map[string]string{"GetObjectVersion": gateway.S3, "TransactWriteItems": gateway.DynamoDB} {
		r := httptest.NewRequest(http.MethodGet, "/content/c/ws/available?versionId=v1", nil)
		var body []byte
		if service == gateway.DynamoDB {
			r = httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("X-Amz-Target", "DynamoDB_20120810.TransactWriteItems")
			body = []byte(`{"TransactItems":[{"Put":{"TableName":"catalog","Item":{"pk":{"S":"a"},"name":{"S":"b"}}}},{"Update":{"TableName":"catalog","Key":{"pk":{"S":"a"}},"UpdateExpression":"SET avail = avail - :n"}}]}`)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c := &gateway.Call{Caller: caller, Service: service, Request: r, Body: body, Received: time.Now(), Operation: derive.Derive(service, r, body)}
				if d := a.Intercept(b.Context(), c); d != nil {
					b.Fatalf("denied: %s", d.Message)
				}
			}
		})
	}
}
