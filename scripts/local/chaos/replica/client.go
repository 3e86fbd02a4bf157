package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// client calls an engine and leaves items as they are: nothing is lost on the way
// that a decoder would not know.
type client struct {
	endpoint, region string
	http             *http.Client
	signer           *v4.Signer
}

const callTimeout = 30 * time.Second

func newClient(endpoint, region string) *client {
	return &client{endpoint: endpoint, region: region, signer: v4.NewSigner(),
		http: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: lanes}}}
}

// call makes a call and decodes its answer into out, unless that is nil.
func (c *client) call(ctx context.Context, operation string, in map[string]any, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: encode the call: %w", operation, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: "runtime", SecretAccessKey: "runtime"} // no engine checks them
	if err := c.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "dynamodb", c.region, time.Now()); err != nil {
		return fmt.Errorf("%s: sign: %w", operation, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", operation, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", operation, response.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: decode the answer: %w", operation, err)
	}
	return nil
}
