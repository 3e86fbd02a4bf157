// Package custom runs the custom resources of the templates, whose provider is a
// function, as CloudFormation does: with the request that says what is wanted, and a URL
// to which the function answers.
//
// What was answered is kept, so that a resource is created once, updated when its
// properties change and deleted when it is no longer declared. A resource whose function
// fails, or does not answer, is as it was: the next Apply asks again.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html
package custom

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxAnswer is CloudFormation's own bound of an answer, in bytes.
const maxAnswer = 4096

const (
	create = "Create"
	update = "Update"
	remove = "Delete"
)

// Config configures a Runner. StatePath, StackID and Invoke are required.
type Config struct {
	StatePath string                    // the file in which answers are kept
	StackID   func(stack string) string // ARN
	// Invoke runs a function and waits for its end; failure says why it failed itself.
	// An error that is ErrNoFunction says that there is none.
	Invoke func(ctx context.Context, functionARN string, event []byte) (failure string, err error)
	// Left is told of a resource that is no longer declared, and neither is its function: nobody
	// can be asked to delete what it made. Nil: nobody is told.
	Left   func(stack, logicalID string)
	Logger *slog.Logger
}

// ErrNoFunction says that the function of a custom resource is not there.
var ErrNoFunction = errors.New("its function is not there")

// Resource is a custom resource as it is declared.
type Resource struct {
	Stack, LogicalID string
	Path             string // of its construct, for messages
	Type             string
	FunctionARN      string
	Properties       json.RawMessage // an object
	Timeout          time.Duration   // for the answer
	DependsOn        []string        // logical ids of its stack
}

func (r Resource) key() string { return r.Stack + "/" + r.LogicalID }

// record is what is kept of a resource.
type record struct {
	Type        string          `json:"type"`
	FunctionARN string          `json:"functionArn"`
	PhysicalID  string          `json:"physicalId"`
	Properties  json.RawMessage `json:"properties"`
}

// Runner runs custom resources. It is safe for concurrent use.
type Runner struct {
	cfg     Config
	server  *http.Server
	address string

	applying sync.Mutex // guards records
	records  map[string]record

	mu      sync.Mutex // guards waiting
	waiting map[string]chan<- answer
}

// answer is what a function sends to the URL.
type answer struct {
	Status             string
	Reason             string
	PhysicalResourceId string //nolint:revive // CloudFormation's spelling
}

// Open reads what is kept and begins to take answers.
func Open(cfg Config) (*Runner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Left == nil {
		cfg.Left = func(string, string) {}
	}
	r := &Runner{cfg: cfg, records: map[string]record{}, waiting: map[string]chan<- answer{}}
	raw, err := os.ReadFile(cfg.StatePath)
	if err == nil {
		err = json.Unmarshal(raw, &r.records)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what custom resources there are: %s: %w; remove it, so that they are created again, or start from scratch with RESET=1", cfg.StatePath, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the answers of custom resources: %w", err)
	}
	r.address = l.Addr().String()
	r.server = &http.Server{Handler: http.HandlerFunc(r.take), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(l) }() // until Close
	return r, nil
}

// Close stops taking answers.
func (r *Runner) Close() error {
	if err := r.server.Close(); err != nil {
		return fmt.Errorf("stop taking the answers of custom resources: %w", err)
	}
	return nil
}

// Apply brings what there is into step with what is declared, and stops at the first
// resource that cannot be.
func (r *Runner) Apply(ctx context.Context, declared []Resource) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	wanted := map[string]bool{}
	for _, resource := range ordered(declared) {
		wanted[resource.key()] = true
		if err := r.bring(ctx, resource); err != nil {
			return fmt.Errorf("custom resource %s (%s): %w", resource.Path, resource.Type, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.records)) {
		if !wanted[key] {
			r.forget(ctx, key)
		}
	}
	return nil
}

// Again updates the resources of a function that has been changed, as though their
// properties had been, which change with the function's code.
func (r *Runner) Again(ctx context.Context, functionARN string, declared []Resource) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	for _, resource := range ordered(declared) {
		if resource.FunctionARN != functionARN {
			continue
		}
		had := r.records[resource.key()]
		_, err := r.ask(ctx, resource, request{RequestType: update, PhysicalResourceId: had.PhysicalID, OldResourceProperties: had.Properties})
		if err != nil {
			return fmt.Errorf("custom resource %s (%s): %w", resource.Path, resource.Type, err)
		}
	}
	return nil
}

// ordered puts each resource after those that it depends on.
func ordered(declared []Resource) []Resource {
	var out []Resource
	done := map[string]bool{}
	for range declared {
		for _, resource := range declared {
			ready := !done[resource.key()] && !slices.ContainsFunc(declared, func(other Resource) bool {
				return other.Stack == resource.Stack && slices.Contains(resource.DependsOn, other.LogicalID) && !done[other.key()]
			})
			if ready {
				done[resource.key()] = true
				out = append(out, resource)
			}
		}
	}
	return out
}

// bring creates or updates a resource.
func (r *Runner) bring(ctx context.Context, resource Resource) error {
	had, known := r.records[resource.key()]
	if known && bytes.Equal(had.Properties, resource.Properties) && had.Type == resource.Type {
		return nil
	}
	req := request{RequestType: create}
	if known {
		req = request{RequestType: update, PhysicalResourceId: had.PhysicalID, OldResourceProperties: had.Properties}
	}
	got, err := r.ask(ctx, resource, req)
	if err != nil {
		return err
	}
	if got.PhysicalResourceId == "" {
		return errors.New("its function answered without a PhysicalResourceId")
	}
	r.records[resource.key()] = record{Type: resource.Type, FunctionARN: resource.FunctionARN, PhysicalID: got.PhysicalResourceId, Properties: resource.Properties}
	if err := r.save(); err != nil {
		return err
	}
	if known && had.PhysicalID != got.PhysicalResourceId { // it was replaced: the former one goes
		resource.Properties = had.Properties
		if _, err := r.ask(ctx, resource, request{RequestType: remove, PhysicalResourceId: had.PhysicalID}); err != nil {
			r.cfg.Logger.Warn("a replaced custom resource was not deleted", "resource", resource.Path, "error", err)
		}
	}
	return nil
}

// forget deletes a resource that is no longer declared. Its function may have gone with it.
func (r *Runner) forget(ctx context.Context, key string) {
	had := r.records[key]
	stack, id, _ := strings.Cut(key, "/")
	resource := Resource{Stack: stack, LogicalID: id, Path: key, Type: had.Type, FunctionARN: had.FunctionARN, Properties: had.Properties, Timeout: time.Minute}
	_, err := r.ask(ctx, resource, request{RequestType: remove, PhysicalResourceId: had.PhysicalID})
	switch {
	case errors.Is(err, ErrNoFunction):
		r.cfg.Left(stack, id)
	case err != nil:
		r.cfg.Logger.Warn("a custom resource that is no longer declared was not deleted", "resource", key, "error", err)
	}
	delete(r.records, key)
	if err := r.save(); err != nil {
		r.cfg.Logger.Warn("custom resources are not kept", "error", err)
	}
}

func (r *Runner) save() error {
	raw, err := json.Marshal(r.records)
	if err == nil {
		temporary := r.cfg.StatePath + ".new"
		if err = os.WriteFile(temporary, raw, 0o600); err == nil {
			err = os.Rename(temporary, r.cfg.StatePath)
		}
	}
	if err != nil {
		return fmt.Errorf("keep what custom resources there are: %w", err)
	}
	return nil
}

// request is what a function is sent.
type request struct {
	RequestType           string
	ResponseURL           string
	StackId               string //nolint:revive // CloudFormation's spelling
	RequestId             string //nolint:revive // likewise
	ResourceType          string
	LogicalResourceId     string          //nolint:revive // likewise
	PhysicalResourceId    string          `json:",omitempty"` //nolint:revive // likewise
	ResourceProperties    json.RawMessage `json:",omitempty"`
	OldResourceProperties json.RawMessage `json:",omitempty"`
}

// ask invokes the function and waits for what it sends to the URL.
func (r *Runner) ask(ctx context.Context, resource Resource, req request) (answer, error) {
	token := rand.Text()
	answered := make(chan answer, 1)
	r.expect(token, answered)
	defer r.expect(token, nil)
	req.ResponseURL = "http://" + r.address + "/" + token
	req.StackId, req.RequestId, req.ResourceType = r.cfg.StackID(resource.Stack), rand.Text(), resource.Type
	req.LogicalResourceId, req.ResourceProperties = resource.LogicalID, resource.Properties
	event, err := json.Marshal(req)
	if err != nil {
		return answer{}, fmt.Errorf("write the request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, resource.Timeout)
	defer cancel()
	failure, err := r.cfg.Invoke(ctx, resource.FunctionARN, event)
	select { // an answer counts, however the function ended
	case got := <-answered:
		if got.Status != "SUCCESS" {
			return answer{}, fmt.Errorf("%s failed: %s", req.RequestType, got.Reason)
		}
		return got, nil
	default:
	}
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%s: %w", req.RequestType, err)
	case failure != "":
		return answer{}, fmt.Errorf("%s: its function failed without an answer, for which CloudFormation would have waited %s: %s", req.RequestType, resource.Timeout, failure)
	}
	return answer{}, fmt.Errorf("%s: its function ended without an answer, for which CloudFormation would have waited %s", req.RequestType, resource.Timeout)
}

func (r *Runner) expect(token string, answered chan<- answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answered == nil {
		delete(r.waiting, token)
	} else {
		r.waiting[token] = answered
	}
}

// take serves the response URLs: a PUT of the answer, once.
func (r *Runner) take(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	answered := r.waiting[req.URL.Path[1:]]
	r.mu.Unlock()
	if answered == nil || req.Method != http.MethodPut {
		http.Error(w, "this URL was not given out", http.StatusForbidden)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxAnswer))
	var got answer
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil {
		http.Error(w, "an answer is a JSON object of at most 4096 bytes: "+err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case answered <- got:
	default: // it has answered already
	}
}
