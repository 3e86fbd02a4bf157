package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/stowage-dev/stowage/shared/deadletter"
)

// delivery is the event in which a letter's record came to its function. A record of an
// S3 notification came in a message of a queue, alone.
func delivery(doc deadletter.Document) ([]byte, error) {
	var record struct {
		EventSource string `json:"eventSource"`
	}
	if err := json.Unmarshal(doc.Record, &record); err != nil {
		return nil, errors.New("its record is no JSON object: there is nothing to hand to the function")
	}
	event := func(record json.RawMessage) ([]byte, error) {
		payload, err := json.Marshal(map[string][]json.RawMessage{"Records": {record}})
		if err != nil {
			return nil, fmt.Errorf("make an event of its record: %w", err)
		}
		return payload, nil
	}
	switch record.EventSource {
	case "aws:sqs", "aws:dynamodb":
		return event(doc.Record)
	case "aws:s3":
		body, err := event(doc.Record)
		if err != nil {
			return nil, err
		}
		message, err := json.Marshal(map[string]any{
			"messageId": "redrive-" + doc.RequestID, "eventSource": "aws:sqs", "body": string(body),
			"attributes": map[string]string{"ApproximateReceiveCount": "1"},
		})
		if err != nil {
			return nil, fmt.Errorf("make a message of its record: %w", err)
		}
		return event(message)
	default:
		return nil, fmt.Errorf("its record is of %q, and not of a queue, a table's stream or S3", record.EventSource)
	}
}

// functions invokes functions as their event source mappings do.
type functions struct{ client *lambda.Client }

// invoke hands records to a function. A record that it hands back is an error.
func (f *functions) invoke(ctx context.Context, try attempt) error {
	out, err := f.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &try.function, Payload: try.payload})
	if err != nil {
		return fmt.Errorf("invoke %s: %w", try.function, err)
	}
	if out.FunctionError != nil {
		var failure struct {
			Type    string `json:"errorType"`
			Message string `json:"errorMessage"`
		}
		if err := json.Unmarshal(out.Payload, &failure); err != nil {
			failure.Message = string(out.Payload)
		}
		return fmt.Errorf("%s failed: %s", try.function, strings.Trim(failure.Type+": "+failure.Message, ": "))
	}
	var answer struct {
		Failures []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(out.Payload, &answer); err != nil {
		return fmt.Errorf("%s gave an answer that is none of a batch: %w", try.function, err)
	}
	if n := len(answer.Failures); n > 0 {
		return fmt.Errorf("%s handed %d records back: its log says why", try.function, n)
	}
	return nil
}
