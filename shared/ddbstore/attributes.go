package ddbstore

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
)

// attributes returns a catalog item in the SDK's form.
func attributes(it catalog.Item) map[string]types.AttributeValue {
	out := make(map[string]types.AttributeValue, len(it))
	for name, v := range it {
		out[name] = attribute(v)
	}
	return out
}

func attribute(v catalog.Value) types.AttributeValue {
	switch v.Kind {
	case catalog.KindString:
		return &types.AttributeValueMemberS{Value: v.Text}
	case catalog.KindNumber:
		return &types.AttributeValueMemberN{Value: v.Text}
	case catalog.KindBool:
		return &types.AttributeValueMemberBOOL{Value: v.Bool}
	case catalog.KindMap:
		return &types.AttributeValueMemberM{Value: attributes(v.Map)}
	case catalog.KindList:
		list := make([]types.AttributeValue, len(v.List))
		for i, e := range v.List {
			list[i] = attribute(e)
		}
		return &types.AttributeValueMemberL{Value: list}
	default:
		return &types.AttributeValueMemberNULL{Value: true}
	}
}

// item returns what the SDK read as a catalog item.
func item(attrs map[string]types.AttributeValue) catalog.Item {
	out := make(catalog.Item, len(attrs))
	for name, a := range attrs {
		out[name] = value(a)
	}
	return out
}

func value(a types.AttributeValue) catalog.Value {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return catalog.Text(a.Value)
	case *types.AttributeValueMemberN:
		return catalog.Value{Kind: catalog.KindNumber, Text: a.Value}
	case *types.AttributeValueMemberBOOL:
		return catalog.Bool(a.Value)
	case *types.AttributeValueMemberNULL:
		return catalog.Value{Kind: catalog.KindNull}
	case *types.AttributeValueMemberM:
		return catalog.Map(item(a.Value))
	case *types.AttributeValueMemberL:
		list := make([]catalog.Value, len(a.Value))
		for i, e := range a.Value {
			list[i] = value(e)
		}
		return catalog.List(list)
	default:
		return catalog.Value{}
	}
}
