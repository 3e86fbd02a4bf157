package authorize

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// item is an item or a key: attributes by name, each {"S": "..."} or of another type.
type item map[string]map[string]any

// tableRequest is what a request says of one table.
type tableRequest struct {
	TableName, IndexName                                              string
	Key, Item                                                         item
	Keys                                                              []item
	KeyConditionExpression, ProjectionExpression, ConditionExpression string
	FilterExpression, UpdateExpression                                string
	ExpressionAttributeNames                                          map[string]string
	ExpressionAttributeValues                                         item
	AttributesToGet                                                   []string
	Select, ReturnValues, ReturnConsumedCapacity                      string
}

// dynamoDBKeys adds the keys of "Using IAM policy conditions for fine-grained access control": the
// partition keys and the attributes that a request names.
func (a *Authorizer) dynamoDBKeys(c *gateway.Call, action operation.Action, keys iam.Context) {
	requests := tableRequests(c, action)
	target := a.resourceOf(action.Resource)
	var leading, attributes []string
	for _, r := range requests {
		if target != nil {
			for _, v := range r.partitions(target.PartitionKeys[r.IndexName]) {
				leading = appendNew(leading, v)
			}
		}
		for _, v := range r.attributes() {
			attributes = appendNew(attributes, v)
		}
		set(keys, "dynamodb:Select", r.Select)
		set(keys, "dynamodb:ReturnValues", r.ReturnValues)
		set(keys, "dynamodb:ReturnConsumedCapacity", r.ReturnConsumedCapacity)
	}
	keys.Set("dynamodb:LeadingKeys", leading...)
	keys.Set("dynamodb:Attributes", attributes...)
	if strings.HasPrefix(c.Name, "Transact") {
		keys.Set("dynamodb:EnclosingOperation", c.Name)
	}
}

func appendNew(list []string, v string) []string {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// tableRequests are the parts of a request that need the action on its resource.
func tableRequests(c *gateway.Call, action operation.Action) []tableRequest {
	var body struct {
		tableRequest
		RequestItems  map[string]json.RawMessage
		TransactItems []map[string]tableRequest
	}
	if json.Unmarshal(c.Body, &body) != nil {
		return nil // DynamoDB refuses it
	}
	switch {
	case body.TransactItems != nil:
		var list []tableRequest
		for _, t := range body.TransactItems {
			for verb, r := range t {
				if ofTable(action.Resource, r.TableName) && actionOf(verb) == action.Name {
					list = append(list, r)
				}
			}
		}
		return list
	case body.RequestItems != nil:
		var list []tableRequest
		for table, raw := range body.RequestItems {
			if ofTable(action.Resource, table) {
				list = append(list, batchRequests(raw)...)
			}
		}
		return list
	}
	return []tableRequest{body.tableRequest}
}

// batchRequests reads one table's part of BatchGetItem (an object) or BatchWriteItem (a list).
func batchRequests(raw json.RawMessage) []tableRequest {
	var get tableRequest
	if json.Unmarshal(raw, &get) == nil {
		return []tableRequest{get}
	}
	var writes []struct{ PutRequest, DeleteRequest *tableRequest }
	_ = json.Unmarshal(raw, &writes) // DynamoDB refuses what cannot be read
	var list []tableRequest
	for _, w := range writes {
		for _, r := range []*tableRequest{w.PutRequest, w.DeleteRequest} {
			if r != nil {
				list = append(list, *r)
			}
		}
	}
	return list
}

func actionOf(verb string) string {
	if verb == "ConditionCheck" {
		return "dynamodb:ConditionCheckItem"
	}
	return "dynamodb:" + verb + "Item"
}

func ofTable(arn, name string) bool {
	return name != "" && (arn == name || strings.HasSuffix(arn, ":table/"+name))
}

// partitions are the values of the partition key that a request names: in its keys, its item, or its key
// condition.
func (r tableRequest) partitions(name string) []string {
	if name == "" {
		return nil
	}
	var values []string
	for _, i := range append([]item{r.Key, r.Item}, r.Keys...) {
		if v, ok := scalar(i[name]); ok {
			values = append(values, v)
		}
	}
	tokens := tokenize(r.KeyConditionExpression)
	for i := 0; i+2 < len(tokens); i++ {
		if tokens[i+1] == "=" && r.resolve(tokens[i]) == name {
			if v, ok := scalar(r.ExpressionAttributeValues[tokens[i+2]]); ok {
				values = append(values, v)
			}
		}
	}
	return values
}

// scalar is the value of an attribute that can be a key.
func scalar(attribute map[string]any) (string, bool) {
	for _, kind := range []string{"S", "N", "B"} {
		if v, ok := attribute[kind].(string); ok {
			return v, true
		}
	}
	return "", false
}

// attributes are the top-level attributes that a request names.
func (r tableRequest) attributes() []string {
	names := slices.Clone(r.AttributesToGet)
	for _, i := range append([]item{r.Key, r.Item}, r.Keys...) {
		for name := range i {
			names = append(names, name)
		}
	}
	for _, expression := range []string{r.KeyConditionExpression, r.ProjectionExpression, r.ConditionExpression, r.FilterExpression, r.UpdateExpression} {
		tokens := tokenize(expression)
		for i, t := range tokens {
			nested := i > 0 && tokens[i-1] == "."
			if !nested && isName(t) && !isReserved(t, i+1 < len(tokens) && tokens[i+1] == "(") {
				names = append(names, r.resolve(t))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (r tableRequest) resolve(token string) string {
	if name, ok := r.ExpressionAttributeNames[token]; ok {
		return name
	}
	return token
}

// tokenize cuts an expression into names, placeholders and single characters.
func tokenize(expression string) []string {
	var tokens []string
	for i := 0; i < len(expression); {
		start := i
		for i < len(expression) && isWord(expression[i]) {
			i++
		}
		if i > start {
			tokens = append(tokens, expression[start:i])
			continue
		}
		if c := expression[i]; c > ' ' {
			tokens = append(tokens, string(c))
		}
		i++
	}
	return tokens
}

func isWord(c byte) bool {
	return c == '_' || c == '#' || c == ':' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isName says whether a token names an attribute, by itself or by a placeholder.
func isName(token string) bool {
	c := token[0]
	return c == '#' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isReserved says whether a token is a word of the expression language; those cannot be names.
func isReserved(token string, call bool) bool {
	if call {
		return true // a function
	}
	switch strings.ToUpper(token) {
	case "SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN":
		return true
	}
	return false
}
