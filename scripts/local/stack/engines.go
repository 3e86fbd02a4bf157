package stack

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// developer is the user whose keys dev.json holds.
func (s *Stack) developer() string { return "arn:aws:iam::" + s.account + ":user/developer" }

func (s *Stack) openIdentity() error {
	var err error
	if s.masterKey, err = identity.LoadMasterKey(s.state.data("master.key")); err != nil {
		return err
	}
	if s.credentials, err = identity.New(identity.Config{MasterKey: s.masterKey, Now: s.cfg.Now}); err != nil {
		return err
	}
	s.admin = s.credentials.IssueUser(s.developer())
	return nil
}

func (s *Stack) openQueues() error {
	cfg := queue.Config{Path: s.state.data("queues.db"), Region: s.region, Account: s.account, Logger: s.cfg.Logger, Now: s.cfg.Now, Queues: queues(s.Model)}
	var err error
	if s.Broker, err = queue.Open(cfg); err != nil {
		return fmt.Errorf("open the queues: %w", err)
	}
	s.onClose("the queues", s.Broker.Close)
	return nil
}

func queues(m *template.Model) []queue.Queue {
	var all []queue.Queue
	for _, q := range m.Queues {
		all = append(all, queue.Queue{
			Name: q.Name, ARN: q.ARN, URL: q.URL, VisibilityTimeout: &q.VisibilityTimeout, Retention: q.Retention, Delay: q.Delay,
			ReceiveWait: q.ReceiveWait, MaxMessageBytes: q.MaxMessageBytes, FIFO: q.FIFO, ContentBasedDeduplication: q.ContentDedupe,
			RedriveTarget: q.RedriveTargetARN, MaxReceiveCount: q.MaxReceiveCount,
		})
	}
	return all
}

// startDynamoDB runs the engine with the template's tables.
func (s *Stack) startDynamoDB(ctx context.Context) error {
	cfg := dynamodb.Config{
		Endpoint: s.cfg.DynamoDBEndpoint, Program: dynamodb.Program(s.cfg.NodeModules), DBPath: s.state.data("dynamodb.sqlite"), Logger: s.cfg.Logger,
	}
	cfg.Tables = engineTables(s.Model.Tables)
	log, err := s.logFile("dynamodb")
	if err != nil {
		return err
	}
	cfg.Stderr = log
	if s.DynamoDB, err = dynamodb.Start(ctx, cfg); err != nil {
		return err
	}
	s.onClose("the DynamoDB engine", s.DynamoDB.Close)
	s.watch(s.DynamoDB.Wait())
	return nil
}

func engineTables(declared []template.Table) []dynamodb.Table {
	var tables []dynamodb.Table
	for _, t := range declared {
		tables = append(tables, dynamodb.Table{
			Name: t.Name, Attributes: t.Attributes, PartitionKey: t.PartitionKey, SortKey: t.SortKey, StreamView: t.StreamView,
			TTLAttribute: t.TTLAttribute, Global: indexes(t.GlobalIndexes), Local: indexes(t.LocalIndexes),
		})
	}
	return tables
}

func indexes(declared []template.Index) []dynamodb.Index {
	var out []dynamodb.Index
	for _, i := range declared {
		out = append(out, dynamodb.Index(i))
	}
	return out
}

// startS3 runs the engine with the template's buckets, and what takes their events.
func (s *Stack) startS3(ctx context.Context) error {
	if err := s.openNotifier(); err != nil {
		return err
	}
	cfg := s3.Config{
		Dir: s.state.data("s3"), Region: s.region, MasterKey: s.masterKey, Users: []string{s.developer()},
		OnEvent: s.objectChanged, Logger: s.cfg.Logger, Argv: s.cfg.S3Argv,
	}
	for _, b := range s.Model.Buckets {
		bucket := s3.Bucket{Name: b.Name, Versioned: b.Versioned}
		for _, c := range b.CORS {
			bucket.CORS = append(bucket.CORS, s3.CORSRule{ID: c.ID, AllowedOrigins: c.AllowedOrigins, AllowedMethods: c.AllowedMethods,
				AllowedHeaders: c.AllowedHeaders, ExposedHeaders: c.ExposeHeaders, MaxAge: c.MaxAge})
		}
		cfg.Buckets = append(cfg.Buckets, bucket)
	}
	log, err := s.logFile("s3")
	if err != nil {
		return err
	}
	cfg.Stderr = log
	if s.S3, err = s3.Start(ctx, cfg); err != nil {
		return err
	}
	s.onClose("the S3 engine", s.S3.Close)
	s.watch(s.S3.Wait())
	return nil
}

// objectChanged hands a change of an object to the bucket's notifications.
func (s *Stack) objectChanged(ctx context.Context, e s3.Event) error {
	return s.notifier.Notify(ctx, sources.ObjectEvent{
		Name: e.Name, Bucket: e.Bucket, Key: e.Key, VersionID: e.VersionID, ETag: e.ETag, Size: e.Size, Sequencer: e.Sequencer, Time: e.Time,
		Principal: e.Caller.Principal, SourceIP: e.Caller.SourceIP, RequestID: e.Caller.RequestID,
	})
}

// logFile is where one part writes; it starts anew with each run.
func (s *Stack) logFile(name string) (io.Writer, error) {
	f, err := os.OpenFile(s.state.logs(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	s.onClose("the log of "+name, f.Close)
	return f, nil
}
