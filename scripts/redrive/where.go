package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/scripts/deployment"
)

// where says in which stack dead letters lie.
type where struct {
	stack         deployment.Where
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
		objects := s3.NewFromConfig(p.aws, func(o *s3.Options) { o.UsePathStyle = deployment.ByPath(p.aws) })
		f := &functions{lambda.NewFromConfig(p.aws)}
		all = append(all, letters(objects, p.bucket, f), stream(objects, p.bucket, f))
	}
	if len(all) == 0 {
		return nil, errors.New("no dead-letter queue and no dead-letter bucket is known: give -dev, -stage, -outputs, -queue or -bucket")
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
	stack := w.stack
	if !named {
		stack = stack.OrDev()
	}
	found, err := stack.Find(ctx)
	if err != nil {
		return places{}, err
	}
	p := places{aws: found.AWS, queues: found.DeadLetterQueues, bucket: found.DeadLetterBucket}
	if named {
		p.queues, p.bucket = nil, w.bucket
		if w.queue != "" {
			p.queues = []string{w.queue}
		}
	}
	return p, nil
}
