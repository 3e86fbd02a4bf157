package boot_test

import (
	"fmt"

	"github.com/stowage-dev/stowage/shared/boot"
)

func ExampleSettings() {
	environment := map[string]string{"STOWAGE_STAGE": "prod"}
	s := boot.NewSettings(func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
	fmt.Println(s.OneOf("STOWAGE_STAGE", "dev", "prod"), s.Optional("STOWAGE_LOG_LEVEL", "info"))
	s.Required("STOWAGE_TABLE")
	s.Required("STOWAGE_BUCKET")
	fmt.Println(s.Err())
	// Output:
	// prod info
	// environment variables not set: STOWAGE_TABLE, STOWAGE_BUCKET
}
