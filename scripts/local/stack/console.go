package stack

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/console"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// ConsoleURL is where the page is.
func (s *Stack) ConsoleURL() string { return s.console.URL() }

// openConsole makes the page before the parts that tell it what they do. It
// serves once everything runs.
func (s *Stack) openConsole() error {
	l, err := listen("the console", "--console-port", s.cfg.ConsolePort)
	if err != nil && s.cfg.ConsoleMayMove {
		l, err = listen("the console", "--console-port", 0)
	}
	if err != nil {
		return err
	}
	s.hold("the console", l)
	s.tracing = newTracing(s.Model.Tables)
	cfg := console.Config{
		Listener: l, Broker: s.Broker, Items: s.tableClient(), Objects: s.bucketClient(), Chaos: s.Chaos.Handler(), Logger: s.cfg.Logger, Now: s.cfg.Now,
	}
	cfg.Resources = s.consoleResources()
	s.console, err = console.New(cfg)
	return err
}

// consoleResources are what there is to see now. Tables and buckets come and go
// with a restart only.
func (s *Stack) consoleResources() console.Resources {
	m := s.present.Load()
	var r console.Resources
	for _, f := range m.Functions {
		r.Functions = append(r.Functions, f.Name)
	}
	for _, q := range m.Queues {
		r.Queues = append(r.Queues, console.Queue{Name: q.Name, ARN: q.ARN, RedriveTarget: q.RedriveTargetARN})
	}
	for _, t := range s.Model.Tables {
		r.Tables = append(r.Tables, console.Table{Name: t.Name, Keys: keysOf(t)})
	}
	for _, b := range s.Model.Buckets {
		r.Buckets = append(r.Buckets, console.Bucket{Name: b.Name, Note: bucketNote(m, b)})
	}
	return r
}

func (s *Stack) startConsole(ctx context.Context) error {
	if err := s.console.Start(ctx); err != nil {
		return err
	}
	s.onClose("the console", s.console.Close)
	return nil
}

// bucketNote says what a bucket is for, as far as the template tells.
func bucketNote(m *template.Model, b *template.Bucket) string {
	for _, mapping := range m.Mappings {
		if mapping.OnFailureARN == b.ARN {
			return "dead letters"
		}
	}
	return ""
}

// developerCredentials are those that dev.json holds.
func (s *Stack) developerCredentials() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: s.admin.AccessKeyID, SecretAccessKey: s.admin.SecretAccessKey}, nil
	})
}

func (s *Stack) bucketClient() *awss3.Client { return s.bucketClientAs(s.developerCredentials()) }

func (s *Stack) bucketClientAs(who aws.CredentialsProvider) *awss3.Client {
	return awss3.New(awss3.Options{BaseEndpoint: aws.String(s.GatewayURL()), Region: s.region, UsePathStyle: true, Credentials: who})
}

func (s *Stack) tableClient() *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(s.GatewayURL()), Region: s.region, Credentials: s.developerCredentials()})
}
