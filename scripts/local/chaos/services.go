package chaos

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// Service stands before the handler of a service behind the gateway: what reaches
// it is allowed. Calls of users are left alone: they are the runtime's own and those
// of people who look on. It also ends the runs of functions between two of their calls.
func (c *Chaos) Service(name string, next http.Handler) http.Handler {
	busy := c.busy(name, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := gateway.CallFrom(r.Context())
		if call == nil || c.calm() || isUser(call.Caller) {
			next.ServeHTTP(w, r)
			return
		}
		of := c.runs.of(processKey(call))
		if of == nil {
			busy(w, r, call)
			return
		}
		before, after := of.call()
		switch {
		case before:
			of.finish()
			awaitEnd(r)
		case after:
			busy(&unread{header: http.Header{}}, r, call)
			of.finish()
			awaitEnd(r)
		default:
			busy(w, r, call)
		}
	})
}

// awaitEnd returns when the process that made a request is gone: one that is frozen
// rather than killed must not hear an answer on its way there.
func awaitEnd(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // its end is noticed only behind the body
	<-r.Context().Done()
}

// processKey is the access key of the process that makes a call: its own, or the one
// with which it assumed a role. A presigned request may be made by anybody.
func processKey(call *gateway.Call) string {
	switch {
	case call.Caller == nil || call.Request.Header.Get("Authorization") == "":
		return ""
	case call.Caller.AssumedBy != "":
		return call.Caller.AssumedBy
	}
	return call.Caller.AccessKeyID
}

// isUser says whether a call is signed with a user's key, not in a role's session.
func isUser(caller *gateway.Caller) bool { return caller != nil && caller.RoleARN == "" }

// unread takes an answer that nobody will read.
type unread struct{ header http.Header }

func (u *unread) Header() http.Header         { return u.header }
func (u *unread) WriteHeader(int)             {}
func (u *unread) Write(b []byte) (int, error) { return len(b), nil }

// serve serves a call, or answers it instead of its service.
type serve func(w http.ResponseWriter, r *http.Request, call *gateway.Call)

// busy is a service that is not always up to its work.
func (c *Chaos) busy(name string, next http.Handler) serve {
	at := source{Services, name}
	work := func(w http.ResponseWriter, r *http.Request, _ *gateway.Call) { next.ServeHTTP(w, r) }
	switch name {
	case gateway.DynamoDB:
		work = c.transactions(at, c.unprocessed(at, c.staleIndexes(at, work)))
	case "events", "sqs":
		work = c.partial(at, work)
	}
	return func(w http.ResponseWriter, r *http.Request, call *gateway.Call) {
		if c.cfg.Engines[name] != nil {
			if _, struck := c.strike(at, Restarts); struck {
				c.restarts.begin(name)
			}
		}
		if numbers, struck := c.strike(at, Throttles); struck {
			gateway.WriteError(w, call, throttle(numbers, call))
			return
		}
		work(w, r, call)
	}
}

// throttle is a service's refusal of a call that comes too soon.
// Sources: the services' API references, "Errors" and "Common Errors".
func throttle(numbers *rand.Rand, call *gateway.Call) *gateway.Denial {
	d := &gateway.Denial{Status: http.StatusBadRequest, Code: "ThrottlingException", Message: "Rate exceeded"}
	switch call.Service {
	case gateway.S3:
		return &gateway.Denial{Status: http.StatusServiceUnavailable, Code: "SlowDown", Message: "Please reduce your request rate."}
	case gateway.DynamoDB:
		if strings.HasPrefix(call.Name, "Transact") && numbers.IntN(2) == 0 {
			n := len(transactionItems(call.Body))
			if n > 0 {
				return canceled(n, map[int]reason{numbers.IntN(n): {"ThrottlingError", "Throughput exceeds the current capacity of your table or index. " +
					"DynamoDB is automatically scaling your table or index so please try again shortly."}})
			}
		}
		if numbers.IntN(2) == 0 {
			d.Code = "ProvisionedThroughputExceededException"
			d.Message = "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."
			return d
		}
		d.Message = "Throughput exceeds the current capacity of your table or index."
	case "sqs":
		d.Code, d.Message = "RequestThrottled", "Request is throttled."
	case "lambda":
		d.Status, d.Code, d.Message = http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."
	case "sts":
		d.Code = "Throttling"
	}
	return d
}
