package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// errFunction says that the function answered with an error.
var errFunction = errors.New("the function failed")

// throttlePause is the wait between two attempts at a function that has no
// concurrency left. Being throttled is no failure of the batch.
const throttlePause = 50 * time.Millisecond

// invoke runs the function with records as its event. It waits while the function
// is throttled, at most patience.
func invoke(ctx context.Context, invoker Invoker, function string, records []json.RawMessage, reportsFailures bool, patience time.Duration) Outcome {
	payload, err := json.Marshal(struct {
		Records []json.RawMessage `json:"Records"`
	}{records})
	if err != nil {
		return Outcome{Err: fmt.Errorf("encode event: %w", err)}
	}
	var response lambda.Response
	for waited := time.Duration(0); ; waited += throttlePause {
		response, err = invoker.Invoke(ctx, function, payload)
		if !errors.Is(err, lambda.ErrThrottled) || waited >= patience {
			break
		}
		if !sleep(ctx, throttlePause) {
			break
		}
	}
	outcome := Outcome{RequestID: response.RequestID, FunctionError: response.FunctionError}
	switch {
	case err != nil:
		outcome.Err = fmt.Errorf("invoke %s: %w", function, err)
	case response.FunctionError != "":
		outcome.Err = fmt.Errorf("%w: %s", errFunction, excerpt(response.Payload))
	case reportsFailures:
		outcome.Failed, outcome.Err = failedItems(response.Payload)
	}
	return outcome
}

// failedItems reads a partial batch response. No answer, null, {} and an empty or
// null list are full success; an identifier that is missing, null or empty fails
// the whole batch, as does an answer that is none of these.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func failedItems(payload []byte) ([]string, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(payload, &answer); err != nil {
		return nil, fmt.Errorf("the function reports batch item failures, but its answer is no JSON object: %s", excerpt(payload))
	}
	list, ok := answer["batchItemFailures"]
	if !ok {
		return nil, nil
	}
	var failures []map[string]json.RawMessage
	if err := json.Unmarshal(list, &failures); err != nil {
		return nil, fmt.Errorf("batchItemFailures in the function's answer is no list of objects: %s", excerpt(list))
	}
	ids := make([]string, 0, len(failures))
	for i, f := range failures {
		var id string
		if err := json.Unmarshal(f["itemIdentifier"], &id); err != nil || id == "" {
			return nil, fmt.Errorf("batchItemFailures[%d] has no itemIdentifier that is a non-empty string: the whole batch fails", i)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// firstUnknown returns an identifier that is not one of the batch, if there is one.
func firstUnknown(failed []string, known []string) (string, bool) {
	for _, id := range failed {
		if !slices.Contains(known, id) {
			return id, true
		}
	}
	return "", false
}

// excerpt keeps an answer short in a log.
func excerpt(payload []byte) string {
	const most = 300
	if len(payload) > most {
		return string(payload[:most]) + "..."
	}
	return string(payload)
}

// fitting is how many of the records fit into one event, at least one.
func fitting(sizes []int) int {
	total := len(`{"Records":[]}`)
	for i, size := range sizes {
		total += size + 1
		if total > maxPayload && i > 0 {
			return i
		}
	}
	return len(sizes)
}
