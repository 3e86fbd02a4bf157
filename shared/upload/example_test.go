package upload_test

import (
	"fmt"

	"github.com/stowage-dev/stowage/shared/upload"
)

func ExampleTransition() {
	to, err := upload.Transition(upload.Open, upload.Publish, upload.Ingest)
	fmt.Println(to, err)
	_, err = upload.Transition(upload.Available, upload.Abort, upload.Client)
	fmt.Println(err)
	// Output:
	// available <nil>
	// the upload is available
}
