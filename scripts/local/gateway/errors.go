package gateway

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/http"
	"strings"
)

// refusal is why a call is refused before its service sees it. Each service has its words for it.
type refusal int

const (
	refusedAccess    refusal = iota // not authorized
	refusedUnsigned                 // no signature
	refusedMalformed                // a signature that cannot be read
	refusedToken                    // an unknown access key, or not its session token
	refusedExpired                  // a session that has ended
	refusedSignature                // another signature than the secret gives, or made too long ago
)

// dialect is how a service words its errors.
type dialect int

const (
	dialectJSON      dialect = iota // AWS JSON 1.0 and 1.1: DynamoDB, EventBridge, Secrets Manager, KMS
	dialectQueryJSON                // JSON that keeps the codes of the query protocol it once spoke: SQS
	dialectQuery                    // XML of the query protocol: STS
	dialectS3                       // S3's XML
)

func dialectOf(service string) dialect {
	switch service {
	case S3:
		return dialectS3
	case "sts":
		return dialectQuery
	case "sqs":
		return dialectQueryJSON
	}
	return dialectJSON
}

// words are the code and the status of a refusal in a dialect.
func words(d dialect, r refusal) (code string, status int) {
	if d == dialectJSON {
		switch r {
		case refusedUnsigned:
			return "MissingAuthenticationTokenException", http.StatusBadRequest
		case refusedMalformed:
			return "IncompleteSignatureException", http.StatusBadRequest
		case refusedToken:
			return "UnrecognizedClientException", http.StatusBadRequest
		case refusedExpired:
			return "ExpiredTokenException", http.StatusBadRequest
		case refusedSignature:
			return "InvalidSignatureException", http.StatusBadRequest
		case refusedAccess:
		}
		return "AccessDeniedException", http.StatusBadRequest
	}
	switch r {
	case refusedUnsigned:
		return "MissingAuthenticationToken", http.StatusForbidden
	case refusedMalformed:
		return "IncompleteSignature", http.StatusBadRequest
	case refusedToken:
		return "InvalidClientTokenId", http.StatusForbidden
	case refusedExpired:
		return "ExpiredToken", http.StatusForbidden
	case refusedSignature:
		return "SignatureDoesNotMatch", http.StatusForbidden
	case refusedAccess:
	}
	return "AccessDenied", http.StatusForbidden
}

func refuse(c *Call, why refusal, message string) *Denial {
	code, status := words(dialectOf(c.Service), why)
	return &Denial{Status: status, Code: code, Message: message}
}

// WriteError answers a call with an error in the shape of its service. Handlers of services use it too.
func WriteError(w http.ResponseWriter, c *Call, d *Denial) {
	kind := dialectOf(c.Service)
	code, status := words(kind, refusedAccess)
	if d.Code != "" {
		code = d.Code
	}
	if d.Status != 0 {
		status = d.Status
	}
	maps.Copy(w.Header(), d.Header)
	var (
		body        []byte
		contentType = "text/xml"
	)
	switch kind {
	case dialectS3:
		contentType = "application/xml"
		w.Header().Set("X-Amz-Request-Id", c.ID)
		body = s3Error(c, code, d.Message)
	case dialectQuery:
		w.Header().Set("X-Amzn-Requestid", c.ID)
		body = queryError(c, code, status, d.Message)
	case dialectQueryJSON:
		w.Header().Set("X-Amzn-Query-Error", code+";"+fault(status))
		fallthrough
	case dialectJSON:
		contentType = jsonType(c.Request)
		w.Header().Set("X-Amzn-Requestid", c.ID)
		w.Header().Set("X-Amzn-Errortype", code)
		body = jsonError(c.Service, code, d)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if c.Request.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone misses nothing
	}
}

// fault says whose mistake a status tells of, in the query protocol's words.
func fault(status int) string {
	if status < http.StatusInternalServerError {
		return "Sender"
	}
	return "Receiver"
}

// jsonType answers in the JSON version that was asked in.
func jsonType(r *http.Request) string {
	if t := r.Header.Get("Content-Type"); strings.HasPrefix(t, "application/x-amz-json-") {
		return t
	}
	return "application/json"
}

// jsonError is a JSON protocols' error. DynamoDB tells its own errors from those of every service by
// their namespace.
func jsonError(service, code string, d *Denial) []byte {
	namespace := ""
	switch service {
	case DynamoDB, DynamoDBStreams:
		namespace = "com.amazonaws.dynamodb.v20120810#"
		if isCommon(code) {
			namespace = "com.amazon.coral.service#"
		}
	case "sqs":
		namespace = "com.amazonaws.sqs#"
		if isCommon(code) {
			namespace = "com.amazon.coral.service#"
		}
	}
	members := map[string]any{}
	maps.Copy(members, d.Fields)
	members["__type"], members["message"] = namespace+code, d.Message
	body, err := json.Marshal(members)
	if err != nil { // Fields that JSON cannot express
		body, _ = json.Marshal(map[string]any{"__type": namespace + code, "message": d.Message})
	}
	return body
}

func isCommon(code string) bool {
	switch code {
	case "AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException",
		"ExpiredTokenException", "MissingAuthenticationTokenException", "IncompleteSignatureException",
		"ServiceUnavailable", "InternalFailure", "ThrottlingException":
		return true
	}
	return false
}

func s3Error(c *Call, code, message string) []byte {
	type errorBody struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
		HostID    string `xml:"HostId"`
	}
	body, _ := xml.Marshal(errorBody{ // strings cannot fail
		Code: code, Message: message, Resource: c.Request.URL.Path, RequestID: c.ID, HostID: "local",
	})
	return append([]byte(xml.Header), body...)
}

func queryError(c *Call, code string, status int, message string) []byte {
	type detail struct{ Type, Code, Message string }
	type errorBody struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr"`
		Error     detail
		RequestID string `xml:"RequestId"`
	}
	body, _ := xml.Marshal(errorBody{ // strings cannot fail
		Namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Error:     detail{Type: fault(status), Code: code, Message: message}, RequestID: c.ID,
	})
	return body
}
