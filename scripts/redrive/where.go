package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/shared/boot"
)

// defaultDev is where a local runtime tells of itself.
const defaultDev = ".stowage/dev.json"

// where says in which stack dead letters lie.
type where struct {
	dev, outputs  string // files
	queue, bucket string
	wait          time.Duration // for messages
}

// places are what a stack has of them.
type places struct {
	aws    aws.Config
	queues []string // URLs
	bucket string
}

// sources are all places whose name holds from.
func (w where) sources(ctx context.Context, from string) ([]source, error) {
	p, err := w.places(ctx)
	if err != nil {
		return nil, err
	}
	var all []source
	client := sqs.NewFromConfig(p.aws)
	for _, u := range p.queues {
		all = append(all, &deadLetterQueue{client, u, w.wait})
	}
	if p.bucket != "" {
		objects := s3.NewFromConfig(p.aws, func(o *s3.Options) { o.UsePathStyle = byPath(p.aws) })
		f := &functions{lambda.NewFromConfig(p.aws)}
		all = append(all, letters(objects, p.bucket, f), stream(objects, p.bucket, f))
	}
	if len(all) == 0 {
		return nil, errors.New("no dead-letter queue and no dead-letter bucket is known: give -dev, -outputs, -queue or -bucket")
	}
	var names []string
	chosen := slices.DeleteFunc(slices.Clone(all), func(s source) bool {
		names = append(names, s.name())
		return !strings.Contains(strings.ToLower(s.name()), strings.ToLower(from))
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-from %q is in the name of none of them: %s", from, strings.Join(names, ", "))
	}
	return chosen, nil
}

func (w where) places(ctx context.Context) (places, error) {
	named := w.queue != "" || w.bucket != ""
	if w.dev != "" && w.outputs != "" {
		return places{}, errors.New("-dev and -outputs are two stacks: give one of them")
	}
	if w.dev == "" && w.outputs == "" && !named {
		if _, err := os.Stat(defaultDev); err == nil {
			w.dev = defaultDev
		}
	}
	var p places
	var err error
	switch {
	case w.dev != "":
		p, err = local(w.dev)
	case w.outputs != "":
		p, err = deployed(ctx, w.outputs)
	default:
		p.aws, err = awsConfig(ctx)
	}
	if err != nil {
		return places{}, err
	}
	if named {
		p.queues, p.bucket = nil, w.bucket
		if w.queue != "" {
			p.queues = []string{w.queue}
		}
	}
	return p, nil
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
func local(file string) (places, error) {
	var dev struct {
		Endpoint         string   `json:"s3Endpoint"`
		Region           string   `json:"region"`
		AccessKeyID      string   `json:"accessKeyId"`
		SecretAccessKey  string   `json:"secretAccessKey"`
		DeadLetterBucket string   `json:"deadLetterBucket"`
		DeadLetterQueues []string `json:"deadLetterQueues"`
	}
	if err := read(file, &dev); err != nil {
		return places{}, err
	}
	return places{
		aws: aws.Config{
			Region: dev.Region, BaseEndpoint: &dev.Endpoint, HTTPClient: boot.HTTPClient(),
			Credentials: credentials.NewStaticCredentialsProvider(dev.AccessKeyID, dev.SecretAccessKey, ""),
		},
		queues: dev.DeadLetterQueues, bucket: dev.DeadLetterBucket,
	}, nil
}

// deployed reads the outputs of a stage's stacks.
func deployed(ctx context.Context, file string) (places, error) {
	var stacks map[string]map[string]string
	if err := read(file, &stacks); err != nil {
		return places{}, err
	}
	var p places
	for _, outputs := range stacks {
		for name, value := range outputs {
			switch {
			case name == "DeadLetterBucket":
				p.bucket = value
			case strings.HasSuffix(name, "DeadLetterQueue"):
				p.queues = append(p.queues, value)
			}
		}
	}
	slices.Sort(p.queues)
	var err error
	if p.aws, err = awsConfig(ctx); err != nil {
		return places{}, err
	}
	if p.aws.Region == "" && len(p.queues) > 0 {
		p.aws.Region = regionOf(p.queues[0])
	}
	return p, nil
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

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: is the stack running, or deployed?", file)
	}
	if err != nil {
		return fmt.Errorf("read where the stack is: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// byPath reports whether buckets are part of the path: where the endpoint is an address,
// there is no name for them to be part of.
func byPath(cfg aws.Config) bool {
	endpoint := aws.ToString(cfg.BaseEndpoint)
	u, err := url.Parse(endpoint)
	return endpoint != "" && err == nil && (net.ParseIP(u.Hostname()) != nil || u.Hostname() == "localhost")
}
