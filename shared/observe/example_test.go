package observe_test

import (
	"fmt"
	"os"
	"time"

	"github.com/stowage-dev/stowage/shared/observe"
)

func ExampleMetrics() {
	m := observe.NewMetrics(os.Stdout, "S3Ingest", func() time.Time { return time.UnixMilli(1700000000000) })
	m.Add("IngestPublished", 1)
	m.Add("IngestPublished", 1)
	if err := m.Flush(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"IngestPublished":2,"_aws":{"CloudWatchMetrics":[{"Namespace":"Stowage","Dimensions":[["function"]],"Metrics":[{"Name":"IngestPublished","Unit":"Count"}]}],"Timestamp":1700000000000},"function":"S3Ingest"}
}
