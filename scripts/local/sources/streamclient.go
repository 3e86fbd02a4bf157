package sources

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// streamClient calls DynamoDB Streams and keeps the records as they are. The SDK
// would decode them, and loses what it does not expect.
type streamClient struct {
	endpoint    string
	region      string
	credentials aws.Credentials
	signer      *v4.Signer
	http        *http.Client
	permit      func(ctx context.Context, action string) error
}

const (
	streamTarget = "DynamoDBStreams_20120810."
	callTimeout  = 30 * time.Second
	// maxStreamAnswer is far above GetRecords' 1 MB, for engines that do not keep that limit.
	maxStreamAnswer = 64 << 20
)

func newStreamClient(cfg *Config, m StreamMapping) *streamClient {
	return &streamClient{
		endpoint: strings.TrimSuffix(cfg.StreamEndpoint, "/") + "/", region: cfg.Region, credentials: cfg.StreamCredentials,
		signer: v4.NewSigner(), http: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
		permit: func(ctx context.Context, action string) error {
			return cfg.Permit(ctx, m.FunctionARN, action, m.StreamARN)
		},
	}
}

// streamError is an error of DynamoDB Streams.
type streamError struct {
	Code    string
	Message string
}

func (e *streamError) Error() string { return e.Code + ": " + e.Message }

// Is makes errors with the same code equal.
func (e *streamError) Is(target error) bool {
	other, ok := target.(*streamError)
	return ok && other.Code == e.Code
}

var (
	errIteratorExpired error = &streamError{Code: "ExpiredIteratorException"}
	errTrimmed         error = &streamError{Code: "TrimmedDataAccessException"}
)

// shardInfo is a shard of a stream.
type shardInfo struct {
	ID     string `json:"ShardId"`
	Parent string `json:"ParentShardId"`
}

// stream finds the ARN that the engine gives the newest stream of a table; it is
// empty when there is none.
func (c *streamClient) stream(ctx context.Context, table string) (string, error) {
	var out struct {
		Streams []struct {
			ARN   string `json:"StreamArn"`
			Label string `json:"StreamLabel"`
		} `json:"Streams"`
	}
	if err := c.call(ctx, "ListStreams", map[string]any{"TableName": table}, &out); err != nil {
		return "", err
	}
	newest, label := "", ""
	for _, s := range out.Streams {
		if newest == "" || s.Label > label {
			newest, label = s.ARN, s.Label
		}
	}
	return newest, nil
}

// shards lists all shards of a stream.
func (c *streamClient) shards(ctx context.Context, stream string) ([]shardInfo, error) {
	var all []shardInfo
	in := map[string]any{"StreamArn": stream}
	for {
		var out struct {
			Description struct {
				Shards []shardInfo `json:"Shards"`
				Last   string      `json:"LastEvaluatedShardId"`
			} `json:"StreamDescription"`
		}
		if err := c.call(ctx, "DescribeStream", in, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Description.Shards...)
		if out.Description.Last == "" {
			return all, nil
		}
		in["ExclusiveStartShardId"] = out.Description.Last
	}
}

// iterator begins after a sequence number, or at the oldest record when it is empty.
func (c *streamClient) iterator(ctx context.Context, stream, shard, after string) (string, error) {
	in := map[string]any{"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
	if after != "" {
		in["ShardIteratorType"], in["SequenceNumber"] = "AFTER_SEQUENCE_NUMBER", after
	}
	var out struct {
		Iterator string `json:"ShardIterator"`
	}
	err := c.call(ctx, "GetShardIterator", in, &out)
	return out.Iterator, err
}

// records reads on. The next iterator is empty at the end of a closed shard.
func (c *streamClient) records(ctx context.Context, iterator string, limit int) (records []json.RawMessage, next string, err error) {
	var out struct {
		Records []json.RawMessage `json:"Records"`
		Next    string            `json:"NextShardIterator"`
	}
	err = c.call(ctx, "GetRecords", map[string]any{"ShardIterator": iterator, "Limit": limit}, &out)
	return out.Records, out.Next, err
}

func (c *streamClient) call(ctx context.Context, operation string, in, out any) error {
	if err := c.permit(ctx, "dynamodb:"+operation); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: encode request: %w", operation, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", streamTarget+operation)
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, c.credentials, request, hex.EncodeToString(sum[:]), "dynamodb", c.region, time.Now()); err != nil {
		return fmt.Errorf("%s: sign: %w", operation, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxStreamAnswer))
	if err != nil {
		return fmt.Errorf("%s: read answer: %w", operation, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", operation, decodeStreamError(response.StatusCode, answer))
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: decode answer: %w", operation, err)
	}
	return nil
}

func decodeStreamError(status int, body []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // or Message: the decoder takes either
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type == "" {
		return fmt.Errorf("HTTP status %d: %s", status, excerpt(body))
	}
	return &streamError{Code: e.Type[strings.LastIndexByte(e.Type, '#')+1:], Message: e.Message}
}
