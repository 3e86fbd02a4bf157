package cursor_test

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/stowage-dev/stowage/shared/cursor"
)

func Example() {
	ring, err := cursor.NewRing([]byte("a secret of at least thirty-two bytes"))
	if err != nil {
		fmt.Println(err)
		return
	}
	codec := cursor.NewCodec(&held{ring: ring}, rand.Reader)
	folder := cursor.Binding{Workspace: "alpha", Query: "objects in reports"}
	next, err := codec.Seal(context.Background(), folder, []byte("after q3.pdf"))
	if err != nil {
		fmt.Println(err)
		return
	}
	position, err := codec.Open(context.Background(), folder, next)
	fmt.Println(string(position), err)

	folder.Workspace = "beta"
	_, err = codec.Open(context.Background(), folder, next)
	fmt.Println(err)
	// Output:
	// after q3.pdf <nil>
	// cursor: is not one that this list gave out, or is too old: start again without a cursor
}
