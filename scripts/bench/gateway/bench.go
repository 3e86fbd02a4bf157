package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	bucket  = "content"
	table   = "catalog"
	role    = "arn:aws:iam::000000000000:role/bench"
	key     = "arn:aws:kms:us-east-1:000000000000:key/data"
	buffer  = 1 << 20 // of a client that downloads
)

// bench is the engines with three ways to each.
type bench struct {
	objects *s3.Engine
	tables  *dynamodb.Engine
	gates   []*gateway.Gateway
	buckets []*awss3.Client // by path
	items   []*awsdynamodb.Client
	puts    []string // presigned URLs, so that the client's hashing is not what is timed
	gets    []string
	closers []func() error
}

func open(ctx context.Context, dir, modules string) (*bench, error) {
	b := &bench{}
	if err := b.start(ctx, dir, modules); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i]())
	}
	return errors.Join(errs...)
}

func (b *bench) start(ctx context.Context, dir, modules string) error {
	master := make([]byte, identity.MasterKeySize)
	issuer, err := identity.New(identity.Config{MasterKey: master})
	if err != nil {
		return err
	}
	b.objects, err = s3.Start(ctx, s3.Config{
		Dir: filepath.Join(dir, "s3"), Region: region, MasterKey: master, Buckets: []s3.Bucket{{Name: bucket}},
		OnEvent: func(context.Context, s3.Event) error { return nil },
	})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, b.objects.Close)
	b.tables, err = dynamodb.Start(ctx, dynamodb.Config{
		Program: dynamodb.Program(modules), DBPath: filepath.Join(dir, "dynamodb.sqlite"),
		Tables: []dynamodb.Table{{Name: table, Attributes: map[string]string{"pk": "S"}, PartitionKey: "pk"}},
	})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, b.tables.Close)
	policies, err := b.policies()
	if err != nil {
		return err
	}
	for _, intercept := range [][]gateway.Interceptor{nil, {policies.Intercept}} {
		if err := b.gate(ctx, issuer, intercept); err != nil {
			return err
		}
	}
	session, err := issuer.IssueFor(role, "bench")
	if err != nil {
		return err
	}
	return b.clients(ctx, credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, session.SessionToken))
}

// gate starts one gateway in front of both engines.
func (b *bench) gate(ctx context.Context, issuer *identity.Issuer, intercept []gateway.Interceptor) error {
	objects, err := gateway.NewProxy(b.objects.Endpoint())
	if err != nil {
		return err
	}
	tables, err := gateway.NewProxy(b.tables.Endpoint())
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Config{ //nolint:contextcheck // it serves until it is closed
		Region: region, Account: account, Credentials: issuer, Intercept: intercept,
		Services: map[string]http.Handler{gateway.S3: objects, gateway.DynamoDB: tables},
	})
	if err != nil {
		return err
	}
	if err := g.Start(ctx); err != nil {
		return err
	}
	b.gates = append(b.gates, g)
	b.closers = append(b.closers, g.Close)
	return nil
}

// policies are such as a function of ours has, with a bucket in quarantine and encrypted stores.
func (b *bench) policies() (*authorize.Authorizer, error) {
	document := func(name string, statements ...string) authorize.Document {
		return authorize.Document{Name: name, JSON: []byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)}
	}
	allow := func(actions, resource, condition string) string {
		return `{"Effect":"Allow","Action":` + actions + `,"Resource":"` + resource + `","Condition":{` + condition + `}}`
	}
	via := func(service string) string {
		return `"StringEquals":{"kms:ViaService":"` + service + `.` + region + `.amazonaws.com"}`
	}
	bucketARN, tableARN := "arn:aws:s3:::"+bucket, "arn:aws:dynamodb:"+region+":"+account+":table/"+table
	return authorize.New(authorize.Config{
		Region: region, Account: account,
		Roles: []authorize.Role{{
			ARN: role, Tags: map[string]string{"stowage-quarantine": "writer"},
			Trust: document("trust", `{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}`),
			Policies: []authorize.Document{document("bench",
				allow(`["logs:CreateLogStream","logs:PutLogEvents"]`, "*", ""),
				allow(`["s3:GetObject","s3:GetObjectVersion","s3:PutObject"]`, bucketARN+"/c/*", ""),
				allow(`["kms:Decrypt","kms:GenerateDataKey"]`, key, via("s3")),
				allow(`["dynamodb:GetItem","dynamodb:PutItem","dynamodb:UpdateItem"]`, tableARN, ""),
				allow(`"kms:Decrypt"`, key, via("dynamodb")))},
		}},
		Resources: []authorize.Resource{
			{ARN: bucketARN, KeyARN: key, BucketKey: true, Policies: []authorize.Document{document("quarantine",
				`{"Effect":"Deny","Principal":"*","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"`+bucketARN+`/*","Condition":{"StringNotEquals":{"s3:ExistingObjectTag/stowage":"available","aws:PrincipalTag/stowage-quarantine":["reader","writer"]}}}`)}},
			{ARN: tableARN, KeyARN: key, PartitionKeys: map[string]string{"": "pk"}},
			{ARN: key, Policies: []authorize.Document{document("key", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+account+`:root"},"Action":"kms:*","Resource":"*"}`)}},
		},
		ObjectTags: func(ctx context.Context, bucket, key, version string) (map[string]string, bool, error) {
			tags, err := b.objects.ObjectTags(ctx, bucket, key, version)
			if errors.Is(err, s3.ErrNoObject) {
				return nil, false, nil
			}
			return tags, err == nil, err
		},
	})
}

// clients makes what calls by each path, and what they read.
func (b *bench) clients(ctx context.Context, who aws.CredentialsProvider) error {
	for path := range paths() {
		objects, tables := b.objects.Endpoint(), b.tables.Endpoint()
		if path > 0 {
			objects = b.gates[path-1].Endpoint()
			tables = objects
		}
		b.buckets = append(b.buckets, awss3.New(awss3.Options{BaseEndpoint: &objects, Region: region, UsePathStyle: true, Credentials: who}))
		b.items = append(b.items, awsdynamodb.New(awsdynamodb.Options{BaseEndpoint: &tables, Region: region, Credentials: who}))
		sign := awss3.NewPresignClient(b.buckets[path])
		large := aws.String(fmt.Sprintf("c/large-%d", path))
		put, err := sign.PresignPutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: large})
		if err != nil {
			return fmt.Errorf("sign a PUT: %w", err)
		}
		get, err := sign.PresignGetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: large})
		if err != nil {
			return fmt.Errorf("sign a GET: %w", err)
		}
		b.puts, b.gets = append(b.puts, put.URL), append(b.gets, get.URL)
	}
	if _, err := b.buckets[0].PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("c/small"), Body: strings.NewReader("x")}); err != nil {
		return fmt.Errorf("put what is read: %w", err)
	}
	_, err := b.items[0].PutItem(ctx, &awsdynamodb.PutItemInput{TableName: aws.String(table), Item: item()})
	if err != nil {
		return fmt.Errorf("put what is read: %w", err)
	}
	return nil
}

func item() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "one"}}
}

func (b *bench) head(ctx context.Context, path int) error {
	_, err := b.buckets[path].HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("c/small")})
	return err //nolint:wrapcheck // the caller says which
}

func (b *bench) getItem(ctx context.Context, path int) error {
	_, err := b.items[path].GetItem(ctx, &awsdynamodb.GetItemInput{TableName: aws.String(table), Key: item()})
	return err //nolint:wrapcheck // the caller says which
}

func (b *bench) put(ctx context.Context, path int, body []byte) error {
	_, err := send(ctx, http.MethodPut, b.puts[path], bytes.NewReader(body))
	return err
}

func (b *bench) get(ctx context.Context, path int, size int64) error {
	n, err := send(ctx, http.MethodGet, b.gets[path], http.NoBody)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, not %d", n, size)
	}
	return err
}

func send(ctx context.Context, method, url string, body io.Reader) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, fmt.Errorf("build the request: %w", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, errors.New("the request failed") // the URL is a credential
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, buffer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return n, err
}
