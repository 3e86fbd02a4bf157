package stack

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/template"
)

// difference is one resource that two models declare differently.
type difference struct {
	kind   string // the model's field, such as Functions
	origin template.Origin
	what   string   // added, removed or changed
	fields []string // of a changed one
}

const (
	added   = "added"
	removed = "removed"
	changed = "changed"
)

// entity is a resource of a model.
type entity struct {
	origin template.Origin
	value  reflect.Value // a struct
}

// entities are a kind's resources, by stack and logical id.
func entities(field reflect.Value) map[string]entity {
	all := map[string]entity{}
	for i := range field.Len() {
		v := reflect.Indirect(field.Index(i))
		if origin, ok := v.FieldByName("Origin").Interface().(template.Origin); ok {
			all[origin.Stack+"/"+origin.LogicalID] = entity{origin, v}
		}
	}
	return all
}

// compare lists what differs between two models, in the order of the construct
// paths. Where in the app a resource is declared makes no difference.
func compare(before, after *template.Model) []difference {
	var all []difference
	old, fresh := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range old.NumField() {
		kind := old.Type().Field(i).Name
		if kind == "Inert" { // nothing runs of it
			continue
		}
		was, is := entities(old.Field(i)), entities(fresh.Field(i))
		for id, e := range is {
			if _, ok := was[id]; !ok {
				all = append(all, difference{kind: kind, origin: e.origin, what: added})
			} else if fields := differing(was[id].value, e.value); len(fields) > 0 {
				all = append(all, difference{kind: kind, origin: e.origin, what: changed, fields: fields})
			}
		}
		for id, e := range was {
			if _, ok := is[id]; !ok {
				all = append(all, difference{kind: kind, origin: e.origin, what: removed})
			}
		}
	}
	slices.SortFunc(all, func(a, b difference) int { return strings.Compare(a.origin.ConstructPath, b.origin.ConstructPath) })
	return all
}

// differs says whether a function is to be told of its new declaration.
func differs(a, b *template.Function) bool {
	return len(differing(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())) > 0
}

func differing(a, b reflect.Value) []string {
	var fields []string
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if name != "Origin" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			fields = append(fields, name)
		}
	}
	return fields
}

// inPlace says, by kind, what the parts of a running stack take: whole resources
// and fields of those that are there. Whatever is not named needs a restart.
type inPlace struct {
	add, remove bool
	fields      []string
}

func abilities() map[string]inPlace {
	return map[string]inPlace{
		"Functions": {add: true, fields: []string{
			"Handler", "AssetDir", "Environment", "Timeout", "MemoryMB", "EphemeralMB", "RoleARN", "Tracing", "DeadLetterARN",
			"LogGroup", "LogFormat", "LogLevel", "ReservedConcurrency", "Async", "InNetwork",
		}},
		"Mappings": {add: true, remove: true, fields: []string{
			"SourceARN", "FunctionARN", "BatchSize", "Window", "Filters", "Enabled", "ReportBatchItemFailures", "MaxConcurrency",
			"StartingPosition", "BisectOnError", "MaxRetries", "MaxRecordAge", "OnFailureARN", "ParallelizationFactor",
		}},
		"Queues": {add: true, fields: []string{
			"VisibilityTimeout", "Retention", "Delay", "ReceiveWait", "MaxMessageBytes", "ContentDedupe", "RedriveTargetARN", "MaxReceiveCount",
			"Policies", "KeyARN",
		}},
		"Buckets":          {fields: []string{"EventBridge", "Notifications", "Lifecycle", "Tags", "Policies", "KeyARN", "BucketKey"}},
		"Buses":            {add: true, remove: true},
		"Rules":            {add: true, remove: true, fields: []string{"Bus", "Pattern", "Schedule", "Enabled", "Targets"}},
		"Archives":         {add: true, remove: true, fields: []string{"BusARN", "Pattern", "Retention"}},
		"Schedules":        {add: true, remove: true, fields: []string{"Expression", "TimeZone", "Enabled", "Target"}},
		"APIs":             {fields: []string{"Name", "CORS", "Routes", "Integrations", "Authorizers", "Stages"}},
		"Roles":            {add: true, remove: true, fields: []string{"Trust", "Tags", "MaxSession", "Policies", "ManagedPolicyARNs", "PermissionsBoundary"}},
		"Policies":         {add: true, remove: true, fields: []string{"Policy"}},
		"Keys":             {add: true, remove: true, fields: []string{"Policy", "Aliases"}},
		"Tables":           {fields: []string{"KeyARN"}},
		"Secrets":          {fields: []string{"Policies", "KeyARN"}},
		"Permissions":      {add: true, remove: true, fields: []string{"FunctionARN", "Action", "Principal", "SourceARN", "SourceAccount"}},
		"CustomResources":  {add: true, remove: true, fields: []string{"Type", "FunctionARN", "Properties", "Timeout", "DependsOn"}},
		"NetworkEndpoints": {add: true, remove: true, fields: []string{"Service", "Policy"}},
		// What nothing local acts upon.
		"LogGroups":  {add: true, remove: true},
		"Parameters": {add: true, remove: true, fields: []string{"Type", "Value"}},
		"Topics":     {add: true, remove: true, fields: []string{"Subscriptions", "Policies"}},
	}
}

// takes says whether a running stack takes all of a difference.
func (d difference) takes() bool {
	able := abilities()[d.kind]
	switch d.what {
	case added:
		return able.add
	case removed:
		return able.remove
	default:
		return len(d.needsRestart()) == 0
	}
}

// needsRestart are the fields that only a restart changes.
func (d difference) needsRestart() []string {
	able := abilities()[d.kind].fields
	return slices.DeleteFunc(slices.Clone(d.fields), func(f string) bool { return slices.Contains(able, f) })
}

// silent says that there is nothing to tell: the code of a function is built from
// its source, and its asset is a copy.
func (d difference) silent() bool {
	return d.what == changed && d.kind == "Functions" && slices.Equal(d.fields, []string{"AssetDir"})
}

// String says what became of a difference, in a line.
func (d difference) String() string {
	path := d.origin.ConstructPath
	kind := strings.TrimSuffix(strings.ToLower(d.kind[:1])+d.kind[1:], "s")
	switch {
	case d.what != changed && d.takes():
		return fmt.Sprintf("%s: %s %s", path, kind, d.what)
	case d.what != changed:
		return fmt.Sprintf("%s: %s %s: needs a restart", path, kind, d.what)
	}
	late := d.needsRestart()
	if len(late) == 0 {
		return fmt.Sprintf("%s: %s changed", path, words(d.fields))
	}
	done := slices.DeleteFunc(slices.Clone(d.fields), func(f string) bool { return slices.Contains(late, f) })
	if len(done) == 0 {
		return fmt.Sprintf("%s: %s changed: needs a restart", path, words(late))
	}
	return fmt.Sprintf("%s: %s changed; %s needs a restart", path, words(done), words(late))
}

// words turns names of fields into what a person calls them.
func words(fields []string) string {
	special := map[string]string{
		"MemoryMB": "memory", "RoleARN": "role", "AssetDir": "code", "Async": "asynchronous invocation", "EphemeralMB": "ephemeral storage",
		"Policies": "policies", "DeadLetterARN": "dead-letter queue", "RedriveTargetARN": "dead-letter queue", "Timeout": "time-out",
		"VisibilityTimeout": "visibility time-out",
	}
	seen := map[string]bool{}
	for _, f := range fields {
		word, ok := special[f]
		if !ok {
			word = spaced(f)
		}
		seen[word] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}

// spaced turns BatchSize into "batch size" and leaves abbreviations whole.
func spaced(name string) string {
	var out strings.Builder
	runes := []rune(name)
	upper := func(i int) bool { return i >= 0 && i < len(runes) && runes[i] >= 'A' && runes[i] <= 'Z' }
	for i, r := range runes {
		if upper(i) && i > 0 && !upper(i-1) {
			out.WriteByte(' ')
		}
		if upper(i) && !upper(i-1) && !upper(i+1) {
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}
