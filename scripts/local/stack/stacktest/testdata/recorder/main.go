// Command recorder is a function that notes every event it is given in the file
// that RECORD names, and answers as ANSWER says: "event" gives the event back,
// "http" wraps it as an HTTP answer, "custom" answers for a custom resource, anything
// else answers {}. It sends a subsegment
// of each invocation to the X-Ray daemon.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		if err := serve(base); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func serve(base string) error {
	resp, err := http.Get(base + "next")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	event, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := note(event); err != nil {
		return err
	}
	trace(resp.Header.Get("Lambda-Runtime-Trace-Id"), began)
	if os.Getenv("ANSWER") == "custom" {
		if err := tellCloudFormation(event); err != nil {
			return err
		}
	}
	answer, err := answerTo(event)
	if err != nil {
		return err
	}
	done, err := http.Post(base+resp.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json", bytes.NewReader(answer))
	if err != nil {
		return err
	}
	return done.Body.Close()
}

// tellCloudFormation answers for a custom resource, as its properties say: Status.
func tellCloudFormation(event []byte) error {
	var req struct {
		ResponseURL, StackId, RequestId, LogicalResourceId string
		ResourceProperties                                 struct{ Status string }
	}
	if err := json.Unmarshal(event, &req); err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"Status": req.ResourceProperties.Status, "Reason": "the recorder was told to", "PhysicalResourceId": "recorded",
		"StackId": req.StackId, "RequestId": req.RequestId, "LogicalResourceId": req.LogicalResourceId})
	if err != nil {
		return err
	}
	put, err := http.NewRequest(http.MethodPut, req.ResponseURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(put)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// trace sends what a function's X-Ray SDK would: one subsegment of the invocation.
func trace(header string, began time.Time) {
	members := map[string]string{}
	for member := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(member, "=")
		members[name] = value
	}
	conn, err := net.Dial("udp", os.Getenv("AWS_XRAY_DAEMON_ADDRESS"))
	if err != nil {
		return // nobody takes traces
	}
	defer conn.Close()
	seconds := func(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
	fmt.Fprintf(conn, `{"format":"json","version":1}`+"\n"+
		`{"trace_id":%q,"id":"%016x","parent_id":%q,"type":"subsegment","name":"note the event","start_time":%f,"end_time":%f}`,
		members["Root"], rand.Uint64(), members["Parent"], seconds(began), seconds(time.Now()))
}

func note(event []byte) error {
	f, err := os.OpenFile(os.Getenv("RECORD"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(append(bytes.ReplaceAll(event, []byte("\n"), nil), '\n'))
	return err
}

func answerTo(event []byte) ([]byte, error) {
	switch os.Getenv("ANSWER") {
	case "event":
		return event, nil
	case "http":
		status := http.StatusOK
		if bytes.Contains(event, []byte(`"method":"POST"`)) {
			status = http.StatusCreated
		}
		return json.Marshal(map[string]any{"statusCode": status, "body": string(event)})
	}
	return []byte("{}"), nil
}
