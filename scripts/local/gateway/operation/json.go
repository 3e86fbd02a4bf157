package operation

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// jsonBody is the part of the JSON protocols' requests that names resources. What a service does not
// know stays empty.
type jsonBody struct {
	TableName     string
	IndexName     string
	StreamArn     string
	ShardIterator string
	RequestItems  map[string]json.RawMessage
	TransactItems []transactItem

	QueueUrl  string //nolint:revive // the API's spelling
	QueueName string
	SourceArn string

	Entries []struct{ EventBusName string }

	SecretId     string   //nolint:revive // the API's spelling
	SecretIdList []string //nolint:revive // the API's spelling
	Name         string

	KeyId string //nolint:revive // the API's spelling
}

type transactItem struct {
	Get, Put, Update, Delete, ConditionCheck *struct{ TableName string }
}

// json derives the operation of a service that speaks one of the JSON protocols: X-Amz-Target names
// it. Members that cannot be read count as absent; the service will refuse them.
func (d *Deriver) json(service string, r *http.Request, body []byte) Operation {
	_, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if !ok {
		return Operation{Resource: Any}
	}
	var b jsonBody
	_ = json.Unmarshal(body, &b)
	switch service {
	case DynamoDB:
		return d.dynamoDB(name, b)
	case DynamoDBStreams:
		return d.streams(name, b)
	case "sqs":
		return d.sqs(name, b)
	case "events":
		return d.events(name, b)
	case "secretsmanager":
		return d.secrets(name, b)
	case "kms":
		return one(name, "kms:"+name, d.key(b.KeyId))
	}
	return one(name, service+":"+name, Any)
}

// table is the ARN of a table that a request names, by name or by ARN.
func (d *Deriver) table(name string) string {
	switch {
	case name == "":
		return Any
	case strings.HasPrefix(name, "arn:"):
		return name
	}
	return d.arn(DynamoDB, "table/"+name)
}

func (d *Deriver) dynamoDB(name string, b jsonBody) Operation {
	switch name {
	case "BatchGetItem", "BatchWriteItem":
		op := Operation{Name: name, Resource: Any}
		for _, table := range slices.Sorted(maps.Keys(b.RequestItems)) {
			op.Actions = append(op.Actions, Action{Name: "dynamodb:" + name, Resource: d.table(table)})
		}
		return op.withMainResource()
	case "TransactGetItems", "TransactWriteItems":
		return d.transaction(name, b.TransactItems)
	}
	resource := d.table(b.TableName)
	if b.IndexName != "" && resource != Any {
		resource += "/index/" + b.IndexName
	}
	return one(name, "dynamodb:"+name, resource)
}

// transaction needs the permission of each of its items; the transaction itself needs none.
func (d *Deriver) transaction(name string, items []transactItem) Operation {
	op := Operation{Name: name, Resource: Any}
	seen := map[Action]bool{}
	for _, item := range items {
		for _, part := range []struct {
			action string
			of     *struct{ TableName string }
		}{
			{"GetItem", item.Get},
			{"ConditionCheckItem", item.ConditionCheck},
			{"PutItem", item.Put},
			{"UpdateItem", item.Update},
			{"DeleteItem", item.Delete},
		} {
			if part.of == nil {
				continue
			}
			a := Action{Name: "dynamodb:" + part.action, Resource: d.table(part.of.TableName)}
			if !seen[a] {
				seen[a] = true
				op.Actions = append(op.Actions, a)
			}
		}
	}
	return op.withMainResource()
}

// withMainResource names the resource of an operation whose actions all have the same.
func (op Operation) withMainResource() Operation {
	for i, a := range op.Actions {
		if i > 0 && a.Resource != op.Resource {
			op.Resource = Any
			return op
		}
		op.Resource = a.Resource
	}
	return op
}

func (d *Deriver) streams(name string, b jsonBody) Operation {
	resource := b.StreamArn
	if arn, _, ok := strings.Cut(b.ShardIterator, "|"); resource == "" && ok && strings.HasPrefix(arn, "arn:") {
		resource = arn // AWS's iterators begin with their stream; opaque ones do not tell
	}
	if resource == "" {
		resource = Any
	}
	return one(name, "dynamodb:"+name, resource)
}

func (d *Deriver) sqs(name string, b jsonBody) Operation {
	resource := Any
	switch {
	case b.QueueUrl != "":
		if u, err := url.Parse(b.QueueUrl); err == nil {
			if account, queue, ok := strings.Cut(strings.Trim(u.Path, "/"), "/"); ok {
				resource = "arn:aws:sqs:" + d.region + ":" + account + ":" + queue
			}
		}
	case b.SourceArn != "":
		resource = b.SourceArn
	case b.QueueName != "":
		resource = d.arn("sqs", b.QueueName)
	}
	return one(name, "sqs:"+strings.TrimSuffix(name, "Batch"), resource)
}

func (d *Deriver) events(name string, b jsonBody) Operation {
	if name != "PutEvents" {
		return one(name, "events:"+name, Any)
	}
	op := Operation{Name: name, Resource: Any}
	for _, e := range b.Entries {
		bus := e.EventBusName
		if bus == "" {
			bus = "default"
		}
		if !strings.HasPrefix(bus, "arn:") {
			bus = d.arn("events", "event-bus/"+bus)
		}
		if a := (Action{Name: "events:PutEvents", Resource: bus}); !slices.Contains(op.Actions, a) {
			op.Actions = append(op.Actions, a)
		}
	}
	return op.withMainResource()
}

func (d *Deriver) secrets(name string, b jsonBody) Operation {
	switch name {
	case "BatchGetSecretValue":
		op := one(name, "secretsmanager:"+name, Any)
		for _, id := range b.SecretIdList {
			op.Actions = append(op.Actions, Action{Name: "secretsmanager:GetSecretValue", Resource: d.secret(id)})
		}
		return op
	case "CreateSecret":
		return one(name, "secretsmanager:"+name, d.secret(b.Name))
	}
	return one(name, "secretsmanager:"+name, d.secret(b.SecretId))
}

// secret is the ARN of a secret that a request names, by name or by ARN.
func (d *Deriver) secret(id string) string {
	if id == "" {
		return Any
	}
	if strings.HasPrefix(id, "arn:") {
		return id
	}
	if arn := d.secretARN(id); arn != "" {
		return arn
	}
	return d.arn("secretsmanager", "secret:"+id)
}

// key is the ARN of a key, or of its alias, that a request names; a ciphertext names its own.
func (d *Deriver) key(id string) string {
	switch {
	case id == "":
		return Any
	case strings.HasPrefix(id, "arn:"):
		return id
	case strings.HasPrefix(id, "alias/"):
		return d.arn("kms", id)
	}
	return d.arn("kms", "key/"+id)
}

// lambda derives the one operation that functions call: Invoke, in its REST protocol.
func (d *Deriver) lambda(r *http.Request) Operation {
	rest, ok := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
	function, ok2 := strings.CutSuffix(rest, "/invocations")
	if !ok || !ok2 || r.Method != http.MethodPost {
		return Operation{Resource: Any}
	}
	if !strings.HasPrefix(function, "arn:") {
		function = d.arn("lambda", "function:"+function)
	}
	return one("Invoke", "lambda:InvokeFunction", function)
}

// sts derives the operation of STS, which speaks the query protocol.
func (d *Deriver) sts(r *http.Request, body []byte) Operation {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return Operation{Resource: Any}
	}
	if form.Get("Action") == "" {
		form = r.URL.Query()
	}
	name, role := form.Get("Action"), form.Get("RoleArn")
	op := Operation{Name: name, Resource: Any}
	switch name {
	case "AssumeRole":
		op.Resource = role
		op.Actions = []Action{{Name: "sts:AssumeRole", Resource: role}}
		if form.Has("Tags.member.1.Key") {
			op.Actions = append(op.Actions, Action{Name: "sts:TagSession", Resource: role})
		}
		if form.Has("SourceIdentity") {
			op.Actions = append(op.Actions, Action{Name: "sts:SetSourceIdentity", Resource: role})
		}
	case "", "GetCallerIdentity": // anybody may ask who they are
	default:
		op.Actions = []Action{{Name: "sts:" + name, Resource: Any}}
	}
	return op
}
