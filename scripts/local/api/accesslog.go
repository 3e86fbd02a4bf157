package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// accessFormat is an access log format cut into text and variables.
type accessFormat []formatPiece

// formatPiece is text, and then a variable (nil at the end).
type formatPiece struct {
	text  string
	value func(def *definition, ex *exchange) string
}

// parseAccessFormat refuses variables that API Gateway does not document for HTTP APIs; those
// which have no meaning here read "-", as on AWS when there is no value.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
func parseAccessFormat(format string) (accessFormat, error) {
	variable := regexp.MustCompile(`\$context\.([A-Za-z0-9_.]*[A-Za-z0-9_])`)
	var f accessFormat
	last := 0
	for _, m := range variable.FindAllStringSubmatchIndex(format, -1) {
		name := format[m[2]:m[3]]
		value := accessVariable(name)
		if value == nil {
			return nil, fmt.Errorf("access log format: unknown variable $context.%s", name)
		}
		f = append(f, formatPiece{text: format[last:m[0]], value: value})
		last = m[1]
	}
	if format != "" {
		f = append(f, formatPiece{text: format[last:]})
	}
	return f, nil
}

func (def *definition) logAccess(ex *exchange) {
	if def.cfg.AccessLog == nil || ex.stage == nil || len(ex.stage.format) == 0 {
		return
	}
	var line strings.Builder
	for _, pc := range ex.stage.format {
		line.WriteString(pc.text)
		if pc.value != nil {
			line.WriteString(escapeLog(pc.value(def, ex)))
		}
	}
	line.WriteByte('\n')
	def.logMu.Lock()
	defer def.logMu.Unlock()
	if _, err := def.cfg.AccessLog.Write([]byte(line.String())); err != nil {
		def.cfg.Logger.Error("access log could not be written", "error", err)
	}
}

// escapeLog keeps a value within its line and its quotes.
func escapeLog(v string) string {
	if v == "" {
		return "-"
	}
	quoted, err := json.Marshal(v)
	if err != nil {
		return "-"
	}
	return string(quoted[1 : len(quoted)-1])
}

func accessVariable(name string) func(*definition, *exchange) string {
	if claim, ok := strings.CutPrefix(name, "authorizer.claims."); ok {
		return func(_ *definition, ex *exchange) string {
			if ex.token == nil {
				return ""
			}
			return claimStrings(ex.token.claims)[claim]
		}
	}
	if f := requestVariable(name); f != nil {
		return f
	}
	if f := answerVariable(name); f != nil {
		return f
	}
	switch name {
	case "authorizer.principalId", "authorizer.latency", "awsEndpointRequestId", "awsEndpointRequestId2", "customDomain.basePathMatched",
		"extendedRequestId", "identity.accountId", "identity.caller", "identity.cognitoAuthenticationProvider", "identity.cognitoAuthenticationType",
		"identity.cognitoIdentityId", "identity.cognitoIdentityPoolId", "identity.principalOrgId", "identity.user", "identity.userArn",
		"identity.clientCert.clientCertPem", "identity.clientCert.subjectDN", "identity.clientCert.issuerDN", "identity.clientCert.serialNumber",
		"identity.clientCert.validity.notBefore", "identity.clientCert.validity.notAfter", "integration.requestId":
		return func(*definition, *exchange) string { return "" }
	}
	return nil
}

func requestVariable(name string) func(*definition, *exchange) string {
	switch name {
	case "accountId":
		return func(def *definition, _ *exchange) string { return def.cfg.Account }
	case "apiId":
		return func(def *definition, _ *exchange) string { return def.cfg.ID }
	case "domainName":
		return func(_ *definition, ex *exchange) string { return ex.Host }
	case "domainPrefix":
		return func(def *definition, _ *exchange) string { return def.cfg.ID }
	case "httpMethod":
		return func(_ *definition, ex *exchange) string { return ex.Method }
	case "identity.sourceIp":
		return func(_ *definition, ex *exchange) string { return sourceIP(ex.Request) }
	case "identity.userAgent":
		return func(_ *definition, ex *exchange) string { return ex.UserAgent() }
	case "path":
		return func(_ *definition, ex *exchange) string { return ex.URL.Path }
	case "protocol":
		return func(_ *definition, ex *exchange) string { return ex.Proto }
	case "requestId":
		return func(_ *definition, ex *exchange) string { return ex.id }
	case "requestTime":
		return func(_ *definition, ex *exchange) string { return ex.received.UTC().Format(clfTime) }
	case "requestTimeEpoch":
		return func(_ *definition, ex *exchange) string { return strconv.FormatInt(ex.received.UnixMilli(), 10) }
	case "routeKey":
		return func(_ *definition, ex *exchange) string {
			if ex.route == nil {
				return ""
			}
			return ex.route.Key
		}
	case "stage":
		return func(_ *definition, ex *exchange) string { return ex.stage.Name }
	}
	return nil
}

func answerVariable(name string) func(*definition, *exchange) string {
	switch name {
	case "status":
		return func(_ *definition, ex *exchange) string { return strconv.Itoa(ex.answer.status) }
	case "dataProcessed", "responseLength":
		return func(_ *definition, ex *exchange) string { return strconv.Itoa(len(ex.answer.body)) }
	case "responseLatency":
		return func(def *definition, ex *exchange) string {
			return strconv.FormatInt(def.cfg.Now().Sub(ex.received).Milliseconds(), 10)
		}
	case "authorizer.error":
		return func(_ *definition, ex *exchange) string { return ex.authError }
	case "authorizer.status":
		return func(_ *definition, ex *exchange) string {
			if ex.token == nil {
				return ""
			}
			return "200"
		}
	case "error.message", "error.messageString", "error.responseType":
		return func(_ *definition, ex *exchange) string {
			if ex.invoked && ex.integrationError == "" {
				return ""
			}
			var body struct{ Message string }
			_ = json.Unmarshal(ex.answer.body, &body) // empty for a preflight
			return body.Message
		}
	case "integration.error", "integrationErrorMessage":
		return func(_ *definition, ex *exchange) string { return ex.integrationError }
	case "integration.latency", "integrationLatency":
		return whenInvoked(func(ex *exchange) string { return strconv.FormatInt(ex.integrationTime.Milliseconds(), 10) })
	case "integration.integrationStatus", "integrationStatus":
		return whenInvoked(func(*exchange) string { return "200" })
	case "integration.status":
		return whenInvoked(func(ex *exchange) string { return strconv.Itoa(ex.answer.status) })
	}
	return nil
}

func whenInvoked(f func(*exchange) string) func(*definition, *exchange) string {
	return func(_ *definition, ex *exchange) string {
		if !ex.invoked {
			return ""
		}
		return f(ex)
	}
}
