package upload_test

import (
	"fmt"

	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/upload"
)

func ExampleUpload_Part() {
	u := upload.Upload{Mode: upload.Multipart, Size: 20 * limits.MiB}
	u.PartSize = upload.DefaultPartSize(u.Size)
	fmt.Println(u.PartCount(), u.Part(1).Size, u.Part(3).Size)
	// Output: 3 8388608 4194304
}
