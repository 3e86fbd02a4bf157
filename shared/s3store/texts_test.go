package s3store_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func TestBeginnings(t *testing.T) {
	t.Parallel()
	client := startEngine(t).client(t)
	for key, text := range map[string]string{"c/alpha/o/long": strings.Repeat("text", 1000), "c/alpha/o/short": "abc", "c/alpha/o/empty": ""} {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: &key, Body: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
	}
	texts := s3store.NewTexts(client, testBucket)
	for key, want := range map[string]string{"c/alpha/o/long": strings.Repeat("text", 4), "c/alpha/o/short": "abc"} {
		data, err := texts.Beginning(t.Context(), key, 16)
		if err != nil || string(data) != want {
			t.Errorf("%s begins with %q, %v", key, data, err)
		}
	}
	if data, err := texts.Beginning(t.Context(), "c/alpha/o/empty", 16); len(data) > 0 || err != nil && !fault.Is(err, fault.NotFound) {
		t.Errorf("nothing begins with %q, %v", data, err)
	}
	if _, err := texts.Beginning(t.Context(), "c/alpha/o/none", 16); !fault.Is(err, fault.NotFound) {
		t.Errorf("what is not there: %v, want NotFound", err)
	}
	_, err := s3store.NewTexts(newClient("http://127.0.0.1:1", aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}), testBucket).Beginning(t.Context(), "c/x", 16)
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("no storage: %v, want Unavailable", err)
	}
}
