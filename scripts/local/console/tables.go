package console

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// pageItems is how many items the page shows at once.
const pageItems = 50

// ItemScanner reads tables. *dynamodb.Client is one.
type ItemScanner interface {
	Scan(ctx context.Context, in *dynamodb.ScanInput, opts ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Table is a table to show.
type Table struct {
	Name string
	Keys []string // names of the key attributes, the partition key first
}

// Items is a page of a table.
type Items struct {
	Keys  []string         `json:"keys"`
	Items []map[string]any `json:"items"`
	Next  string           `json:"next,omitempty"` // cursor; empty: this is the last page
}

func (c *Console) serveItems(w http.ResponseWriter, r *http.Request) {
	tables := c.shown.Load().Tables
	i := slices.IndexFunc(tables, func(t Table) bool { return t.Name == r.PathValue("name") })
	if i < 0 {
		fail(w, http.StatusNotFound, "There is no table of this name.")
		return
	}
	table := tables[i]
	start, err := decodeCursor(r.URL.Query().Get("cursor"), table.Keys)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	out, err := c.cfg.Items.Scan(r.Context(), &dynamodb.ScanInput{
		TableName: aws.String(table.Name), Limit: aws.Int32(pageItems), ExclusiveStartKey: start,
	})
	if err != nil {
		c.failed(w, r, fmt.Errorf("scan %s: %w", table.Name, err))
		return
	}
	page := Items{Keys: table.Keys, Items: make([]map[string]any, 0, len(out.Items))}
	for _, item := range out.Items {
		page.Items = append(page.Items, plainItem(item))
	}
	if page.Next, err = encodeCursor(out.LastEvaluatedKey); err != nil {
		c.failed(w, r, err)
		return
	}
	c.answer(w, page)
}

func plainItem(item map[string]types.AttributeValue) map[string]any {
	out := make(map[string]any, len(item))
	for name, v := range item {
		out[name] = plain(v)
	}
	return out
}

// plain is an attribute's value as the page reads it.
func plain(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return number(v.Value)
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case *types.AttributeValueMemberB:
		return map[string]any{"bytes": base64.StdEncoding.EncodeToString(v.Value)}
	case *types.AttributeValueMemberSS:
		return v.Value
	case *types.AttributeValueMemberNS:
		numbers := make([]any, len(v.Value))
		for i, n := range v.Value {
			numbers[i] = number(n)
		}
		return numbers
	case *types.AttributeValueMemberBS:
		return v.Value
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, e := range v.Value {
			list[i] = plain(e)
		}
		return list
	case *types.AttributeValueMemberM:
		return plainItem(v.Value)
	}
	return nil
}

// exactDigits is how many digits every number of the page's language keeps.
const exactDigits = 15

// number is text where it has more digits than the page could keep.
func number(n string) any {
	if len(n) > exactDigits {
		return n
	}
	return json.Number(n)
}

// key is a key attribute in a cursor: one of its members is set.
type key struct {
	S *string `json:"s,omitempty"`
	N *string `json:"n,omitempty"`
	B []byte  `json:"b,omitempty"`
}

func encodeCursor(at map[string]types.AttributeValue) (string, error) {
	if len(at) == 0 {
		return "", nil
	}
	keys := map[string]key{}
	for name, v := range at {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			keys[name] = key{S: &v.Value}
		case *types.AttributeValueMemberN:
			keys[name] = key{N: &v.Value}
		case *types.AttributeValueMemberB:
			keys[name] = key{B: v.Value}
		}
	}
	raw, err := json.Marshal(keys)
	if err != nil {
		return "", fmt.Errorf("encode cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// errCursor says that a cursor was not made here.
var errCursor = fmt.Errorf("the cursor is not one of this table: begin at the first page")

func decodeCursor(cursor string, names []string) (map[string]types.AttributeValue, error) {
	if cursor == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, errCursor
	}
	var keys map[string]key
	if json.Unmarshal(raw, &keys) != nil || len(keys) != len(names) {
		return nil, errCursor
	}
	at := map[string]types.AttributeValue{}
	for _, name := range names {
		k, ok := keys[name]
		switch {
		case !ok:
			return nil, errCursor
		case k.S != nil:
			at[name] = &types.AttributeValueMemberS{Value: *k.S}
		case k.N != nil:
			if _, ok := new(big.Float).SetString(*k.N); !ok {
				return nil, errCursor
			}
			at[name] = &types.AttributeValueMemberN{Value: *k.N}
		case k.B != nil:
			at[name] = &types.AttributeValueMemberB{Value: k.B}
		default:
			return nil, errCursor
		}
	}
	return at, nil
}
