package event_test

import (
	"fmt"

	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/object"
)

func ExampleFromTransition() {
	before := &object.Object{Workspace: "alpha", ID: "O1", State: object.Available, Rev: 3}
	after := &object.Object{Workspace: "alpha", ID: "O1", State: object.Deleted, Rev: 4}

	e, ok := event.FromTransition(before, after)
	fmt.Println(ok, e.ID, e.Type, e.Data.Previous)
	// Output: true O1.4 dev.stowage.object.deleted available
}
