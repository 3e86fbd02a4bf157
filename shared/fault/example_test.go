package fault_test

import (
	"errors"
	"fmt"

	"github.com/stowage-dev/stowage/shared/fault"
)

func Example() {
	err := fmt.Errorf("settle upload U1: %w",
		fault.Wrap(fault.Unavailable, errors.New("dial tcp: refused"), "the catalog does not answer: try again"))

	fmt.Println(fault.CodeOf(err), fault.Transient(err))
	fmt.Println(err)
	// Output:
	// unavailable true
	// settle upload U1: the catalog does not answer: try again: dial tcp: refused
}
