package workspace_test

import (
	"fmt"

	"github.com/stowage-dev/stowage/shared/workspace"
)

// An upload that no shard alone has room for is reserved in several.
func ExamplePlan() {
	shards := workspace.Spread("alpha", workspace.Amount{Bytes: 100, Objects: 4, Uploads: 4}, 4)
	shares, ok := workspace.Plan(shards, workspace.Amount{Bytes: 60, Objects: 1, Uploads: 1}, 2)
	fmt.Println(ok)
	for _, s := range shares {
		fmt.Println(s.Shard, s.Bytes)
	}
	// Output:
	// true
	// 2 25
	// 3 25
	// 0 10
}
