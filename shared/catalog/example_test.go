package catalog_test

import (
	"encoding/json"
	"fmt"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/object"
)

// A stream record's image is an item in DynamoDB's JSON form.
func ExampleEntity_Decode() {
	image := []byte(`{
		"pk": {"S": "P#alpha#ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
		"sk": {"S": "PATH"},
		"workspace": {"S": "alpha"},
		"path": {"S": "a"},
		"object": {"S": "O1"}
	}`)
	var item catalog.Item
	if err := json.Unmarshal(image, &item); err != nil {
		fmt.Println(err)
		return
	}
	claim, err := catalog.Declare().Paths.Decode(item)
	fmt.Println(claim.ObjectID, err)
	// Output: O1 <nil>
}

func ExampleEntity_Key() {
	objects := catalog.Declare().Objects
	fmt.Println(objects.Key(object.Object{Workspace: "alpha", ID: "O1"}))
	// Output: (O#alpha#O1, OBJECT)
}
