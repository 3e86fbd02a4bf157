package sts

import (
	"encoding/xml"
	"net/http"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// namespace is of STS's API, version 2011-06-15.
const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

type getCallerIdentityResult struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

type assumeRoleResult struct {
	XMLName          xml.Name `xml:"AssumeRoleResult"`
	AssumedRoleUser  assumedRoleUser
	Credentials      credentials
	PackedPolicySize int
}

type assumedRoleUser struct {
	ID  string `xml:"AssumedRoleId"`
	Arn string
}

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type metadata struct {
	RequestID string `xml:"RequestId"`
}

// writeResult writes the answer of the query protocol: <action>Response with the result in it.
func writeResult(w http.ResponseWriter, call *gateway.Call, result any) {
	type response struct {
		XMLName          xml.Name
		Namespace        string `xml:"xmlns,attr"`
		Result           any
		ResponseMetadata metadata
	}
	body, err := xml.Marshal(response{
		XMLName: xml.Name{Local: call.Name + "Response"}, Namespace: namespace,
		Result: result, ResponseMetadata: metadata{RequestID: call.ID},
	})
	if err != nil {
		gateway.WriteError(w, call, &gateway.Denial{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", call.ID)
	_, _ = w.Write(body) // a client that has gone misses nothing
}
