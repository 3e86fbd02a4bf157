package ddbstore_test

import (
	"reflect"
	"testing"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
)

// TestAccessPatternsNameTheStore holds the declared access patterns against the
// methods that there are.
func TestAccessPatternsNameTheStore(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	store := reflect.TypeFor[*ddbstore.Store]()
	for _, a := range catalog.Declare().Accesses() {
		declared[a.Method] = true
		if _, ok := store.MethodByName(a.Method); !ok {
			t.Errorf("the catalog declares the access pattern %s, which the store does not have", a.Method)
		}
	}
	for i := range store.NumMethod() {
		if name := store.Method(i).Name; !declared[name] {
			t.Errorf("the store's %s is no declared access pattern", name)
		}
	}
}
