package deadletter_test

import (
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/deadletter"
)

func ExampleKey() {
	letter := batch.Letter{ID: "arn:aws:sqs:eu-west-1:123456789012:Ingest/059f36b4", Time: time.Date(2026, 11, 22, 14, 5, 6, 0, time.UTC)}
	key, err := deadletter.Key("S3Ingest", letter, time.Now())
	fmt.Println(key, err)
	// Output: dead/S3Ingest/2026/11/22/01M81S6AJGEJZRGKF6AQPRJ4K3.json <nil>
}
