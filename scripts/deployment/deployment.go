// Package deployment finds the resources of a stack that runs, for the commands that go to
// one: of the local runtime by the file in which it tells of itself, and of a deployed stage
// by the outputs that make deploy wrote.
package deployment

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/stowage-dev/stowage/shared/boot"
)

// defaultDev is where a local runtime tells of itself.
const defaultDev = ".stowage/dev.json"

// ledgerQueue is the construct of the ledger's queue, by which the local runtime names it.
const ledgerQueue = "Relational/LedgerEvents/Default/Resource"

// Where says which stack is meant. At most one of its fields is set; without any it is the
// local runtime, when one runs.
type Where struct {
	Dev     string // file of a local runtime
	Stage   string // name of a deployed stage
	Outputs string // file of the outputs of a deployed stage
}

// Flags lets a command line say which stack is meant.
func (w *Where) Flags(flags *flag.FlagSet) {
	flags.StringVar(&w.Dev, "dev", "", "`file` of a local runtime ("+defaultDev+")")
	flags.StringVar(&w.Stage, "stage", "", "`name` of a deployed stage, for -outputs "+outputsOf("<name>"))
	flags.StringVar(&w.Outputs, "outputs", "", "`file` of the outputs of a deployed stage")
}

// outputsOf is the file that make deploy writes for a stage.
func outputsOf(stage string) string { return ".stowage/outputs-" + stage + ".json" }

// Stack is what a stack has. Empty is what it has not, or what nobody has told of.
type Stack struct {
	// AWS has the credentials, the region and, for a local runtime, the endpoint.
	AWS              aws.Config
	Table            string   // of the catalog
	DeadLetterBucket string   // name
	DeadLetterQueues []string // URLs
	LedgerQueue      string   // URL of the queue of LedgerProjector

	API string // URL
	// Tokens are access tokens by the workspace that their user owns, and Events is the
	// JSON-lines file of the bus. Only a local runtime tells of them.
	Tokens map[string]string
	Events string
}

// Find returns the stack. Where it is not known, it is what the environment says of AWS
// alone.
func (w Where) Find(ctx context.Context) (Stack, error) {
	switch w {
	case Where{}:
	case Where{Dev: w.Dev}:
		return local(w.Dev)
	case Where{Stage: w.Stage}:
		return deployed(ctx, outputsOf(w.Stage))
	case Where{Outputs: w.Outputs}:
		return deployed(ctx, w.Outputs)
	default:
		return Stack{}, errors.New("-dev, -stage and -outputs each name a stack: give one of them")
	}
	cfg, err := awsConfig(ctx)
	return Stack{AWS: cfg}, err
}

// OrDev is the local runtime when one runs and no other stack is named.
func (w Where) OrDev() Where {
	if w == (Where{}) {
		if _, err := os.Stat(defaultDev); err == nil {
			w.Dev = defaultDev
		}
	}
	return w
}

func awsConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return cfg, fmt.Errorf("read the AWS configuration of the environment: %w", err)
	}
	cfg.HTTPClient = boot.KeepConnections(cfg.HTTPClient)
	return cfg, nil
}

// local reads what a local runtime says of itself.
func local(file string) (Stack, error) {
	var dev struct {
		Endpoint         string            `json:"s3Endpoint"`
		Region           string            `json:"region"`
		AccessKeyID      string            `json:"accessKeyId"`
		SecretAccessKey  string            `json:"secretAccessKey"`
		Table            string            `json:"table"`
		DeadLetterBucket string            `json:"deadLetterBucket"`
		DeadLetterQueues []string          `json:"deadLetterQueues"`
		Queues           map[string]string `json:"queues"`
		API              string            `json:"apiUrl"`
		Tokens           map[string]string `json:"tokens"`
		Events           string            `json:"events"`
	}
	if err := read(file, "is `make dev` running?", &dev); err != nil {
		return Stack{}, err
	}
	return Stack{
		AWS: aws.Config{
			Region: dev.Region, BaseEndpoint: &dev.Endpoint, HTTPClient: boot.HTTPClient(),
			Credentials: credentials.NewStaticCredentialsProvider(dev.AccessKeyID, dev.SecretAccessKey, ""),
		},
		Table: dev.Table, DeadLetterBucket: dev.DeadLetterBucket, DeadLetterQueues: dev.DeadLetterQueues, LedgerQueue: dev.Queues[ledgerQueue],
		API: dev.API, Tokens: dev.Tokens, Events: dev.Events,
	}, nil
}

// deployed reads the outputs of a stage's stacks.
func deployed(ctx context.Context, file string) (Stack, error) {
	var stacks map[string]map[string]string
	if err := read(file, "run `make deploy` first", &stacks); err != nil {
		return Stack{}, err
	}
	var s Stack
	for _, outputs := range stacks {
		for name, value := range outputs {
			switch {
			case name == "CatalogTable":
				s.Table = value
			case name == "DeadLetterBucket":
				s.DeadLetterBucket = value
			case name == "LedgerQueue":
				s.LedgerQueue = value
			case name == "ApiUrl":
				s.API = value
			case strings.HasSuffix(name, "DeadLetterQueue"):
				s.DeadLetterQueues = append(s.DeadLetterQueues, value)
			}
		}
	}
	slices.Sort(s.DeadLetterQueues)
	var err error
	if s.AWS, err = awsConfig(ctx); err != nil {
		return Stack{}, err
	}
	if s.AWS.Region == "" && len(s.DeadLetterQueues) > 0 {
		s.AWS.Region = regionOf(s.DeadLetterQueues[0])
	}
	return s, nil
}

// regionOf is the region in a queue's URL: https://sqs.<region>.amazonaws.com/...
func regionOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	if parts := strings.Split(u.Hostname(), "."); len(parts) > 2 && parts[0] == "sqs" {
		return parts[1]
	}
	return ""
}

// read decodes a file, and says what to do where there is none.
func read(file, missing string, into any) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: %s", file, missing)
	}
	if err != nil {
		return fmt.Errorf("read where the stack is: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// ByPath reports whether buckets are part of the path: where the endpoint is an address,
// there is no name for them to be part of.
func ByPath(cfg aws.Config) bool {
	endpoint := aws.ToString(cfg.BaseEndpoint)
	u, err := url.Parse(endpoint)
	return endpoint != "" && err == nil && (net.ParseIP(u.Hostname()) != nil || u.Hostname() == "localhost")
}
