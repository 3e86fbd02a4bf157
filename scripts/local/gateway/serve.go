package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/gateway/sigv4"
)

// maxBody is the largest body that is held in memory: more than the largest request of any service
// that has its whole body read (DynamoDB's, 16 MB).
const maxBody = 17 << 20

// skew is how far a signature's time may be from now. S3's own 15 minutes are checked by its engine.
const skew = 5 * time.Minute

// ahead is how far the time of a presigned request may be in the future, for clocks that are fast. The
// engine looks at its end alone.
const ahead = 15 * time.Minute

func (c *Config) setDefaults() error {
	if c.Listener == nil {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("gateway: listen: %w", err)
		}
		c.Listener = l
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = func() string { return uuid.Must(uuid.NewRandomFromReader(rand.Reader)).String() }
	}
	if c.Observe == nil {
		c.Observe = func(*Call, int, time.Duration) {}
	}
	return nil
}

// ServeHTTP serves one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &Call{ID: g.cfg.NewID(), Received: g.cfg.Now(), Request: r, logger: g.cfg.Logger}
	answer := &recorder{ResponseWriter: w, status: http.StatusOK}
	begun := time.Now()
	if d := g.admit(r.Context(), c); d != nil {
		if r.Header.Get("Expect") == "" { // who does not wait to be asked for its body sends it before it looks for an answer
			_, _ = io.Copy(io.Discard, r.Body)
		}
		WriteError(answer, c, d)
	} else {
		r = c.Request                                                           // interceptors may have given it a context of its own
		c.Request = r.WithContext(context.WithValue(r.Context(), callKey{}, c)) //nolint:contextcheck // it comes from the request
		g.cfg.Services[c.Service].ServeHTTP(answer, c.Request)
	}
	g.cfg.Observe(c, answer.status, time.Since(begun))
}

// admit fills in what a call is and by whom, and says why it may not go on, if so.
func (g *Gateway) admit(ctx context.Context, c *Call) *Denial {
	r := c.Request
	sig, err := sigv4.FromRequest(r)
	c.Service = serviceOf(r, sig)
	if g.cfg.Services[c.Service] == nil {
		g.cfg.Logger.Warn("a call to a service that is not served here", "service", c.Service, "target", r.Header.Get("X-Amz-Target"))
		return &Denial{
			Status: http.StatusNotImplemented, Code: "NotImplemented",
			Message: fmt.Sprintf("The local runtime does not serve %q: the template declares nothing of it.", c.Service),
		}
	}
	if c.Service != S3 || g.deriver.NeedsBody(c.Service, r) {
		if d := c.readBody(); d != nil {
			return d
		}
	}
	if c.Service == S3 {
		if sig != nil {
			// Who cannot be told is refused by the engine, which knows how to say it.
			c.Caller, _ = g.cfg.Credentials.Resolve(sig.AccessKeyID, sig.Token)
			c.forged = func() *Denial { return g.forged(c, sig) }
			if sig.Presigned && sig.Time.After(c.Received.Add(ahead)) {
				return &Denial{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Request is not valid yet"}
			}
		}
	} else if d := g.authenticate(c, sig, err); d != nil {
		return d
	}
	c.Operation = g.deriver.Derive(c.Service, r, c.Body)
	if d := refuseKeys(c); d != nil {
		return d
	}
	for _, intercept := range g.cfg.Intercept {
		if d := intercept(ctx, c); d != nil {
			return d
		}
	}
	return nil
}

// forged verifies the signature of an S3 call.
func (g *Gateway) forged(c *Call, sig *sigv4.Signature) *Denial {
	if sig.VerifyS3(c.Request, g.cfg.Credentials.Secret(sig.AccessKeyID)) != nil {
		return &Denial{Status: http.StatusForbidden, Code: "SignatureDoesNotMatch",
			Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	if sig.Presigned && c.Received.After(sig.Time.Add(sig.Expires)) {
		return &Denial{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Request has expired"}
	}
	return nil
}

// serviceOf tells the service of a request. Without a signature that can be read, only the JSON and
// query protocols' requests are told from those to S3.
func serviceOf(r *http.Request, sig *sigv4.Signature) string {
	if sig != nil {
		return operation.Service(sig.Service, r)
	}
	target, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case strings.HasPrefix(target, "DynamoDBStreams_"):
		return DynamoDBStreams
	case strings.HasPrefix(target, "DynamoDB_"):
		return DynamoDB
	case target == "AmazonSQS":
		return "sqs"
	case target == "AWSEvents":
		return "events"
	case target != "":
		return strings.ToLower(target)
	case r.Method == http.MethodPost && r.URL.Path == "/" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return "sts"
	}
	return S3
}

// readBody holds the body in memory, for whoever reads it next too.
func (c *Call) readBody() *Denial {
	body, err := io.ReadAll(io.LimitReader(c.Request.Body, maxBody+1))
	switch {
	case err != nil:
		return &Denial{Status: http.StatusBadRequest, Code: "RequestTimeout", Message: "The request body ended before it was complete."}
	case len(body) > maxBody:
		return &Denial{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge", Message: fmt.Sprintf("The request body exceeds %d bytes.", maxBody)}
	}
	if body == nil {
		body = []byte{}
	}
	c.Body = body
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// authenticate finds out who calls a service other than S3 and verifies that they do.
func (g *Gateway) authenticate(c *Call, sig *sigv4.Signature, malformed error) *Denial {
	switch {
	case malformed != nil:
		return refuse(c, refusedMalformed, malformed.Error())
	case sig == nil || sig.Presigned:
		return refuse(c, refusedUnsigned, "Request is missing Authentication Token")
	case sig.Region != g.cfg.Region:
		return refuse(c, refusedSignature, fmt.Sprintf("Credential should be scoped to a valid region, not '%s'; the local runtime is in %s.", sig.Region, g.cfg.Region))
	}
	caller, err := g.cfg.Credentials.Resolve(sig.AccessKeyID, sig.Token)
	switch {
	case errors.Is(err, identity.ErrExpiredToken):
		return refuse(c, refusedExpired, "The security token included in the request is expired")
	case err != nil:
		return refuse(c, refusedToken, "The security token included in the request is invalid.")
	}
	if err := sig.CheckTime(c.Received, skew); err != nil {
		return refuse(c, refusedSignature, err.Error())
	}
	if err := sig.Verify(c.Request, c.Body, g.cfg.Credentials.Secret(sig.AccessKeyID)); err != nil {
		if errors.Is(err, sigv4.ErrMalformed) {
			return refuse(c, refusedMalformed, err.Error())
		}
		return refuse(c, refusedSignature, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	c.Caller = caller
	return nil
}

// refuseKeys refuses S3 keys that the engine, which keeps objects as files, would take for another key:
// "a//b" and "a/./b" for "a/b". A policy for the one would not hold for the other.
func refuseKeys(c *Call) *Denial {
	if c.Object != nil && !ownKey(c.Object.Key) {
		return refusedKey(c.Object.Key)
	}
	for _, a := range c.Actions {
		if a.Object != nil && !ownKey(a.Object.Key) {
			return refusedKey(a.Object.Key)
		}
	}
	return nil
}

func ownKey(key string) bool {
	return key == "" || path.Clean("/"+key) == "/"+strings.TrimSuffix(key, "/")
}

func refusedKey(key string) *Denial {
	return &Denial{
		Status: http.StatusBadRequest, Code: "InvalidURI",
		Message: fmt.Sprintf("The local runtime cannot keep the key %q apart from another: a segment of a key must not be empty, '.' or '..'.", key),
	}
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if !r.wrote && status >= http.StatusOK { // not 100 Continue
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

// ReadFrom lets the server's writer take the bytes from where they are, in the kernel.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	return io.Copy(r.ResponseWriter, src) //nolint:wrapcheck // as it is
}

// Unwrap gives http.ResponseController what the server's writer can do.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
