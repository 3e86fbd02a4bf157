// Command recorder is a function that notes every event it is given in the file
// that RECORD names, and answers as ANSWER says: "event" gives the event back,
// "http" wraps it as an HTTP answer, anything else answers {}.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
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
	if err := note(event); err != nil {
		return err
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
