package boot

import (
	"io"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// HTTPClient is the client that AWS's services are called with. It is safe for
// concurrent use and keeps its connections.
func HTTPClient() aws.HTTPClient {
	return KeepConnections(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = maxIdlePerHost
	}).WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = dialTimeout
	}))
}

// KeepConnections has a client of the SDK keep its connections.
//
// The SDK by itself loses some: it closes a request's body as soon as the answer begins, and
// the body's WriteTo then says io.EOF where io.Copy wants nil. net/http takes that for a
// failed write and drops the connection, at times in the midst of the answer, so that
// a call that had its effect is made again. Seen with smithy-go v1.28.8 in 1 to 20 of 100
// calls; TestConnectionsAreKept shows it. Without WriteTo, the body ends as it should.
func KeepConnections(client aws.HTTPClient) aws.HTTPClient { return keepAlive{client} }

type keepAlive struct{ client aws.HTTPClient }

// Do implements aws.HTTPClient.
func (k keepAlive) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return k.client.Do(r) //nolint:wrapcheck // the SDK looks at the transport's own errors
}
