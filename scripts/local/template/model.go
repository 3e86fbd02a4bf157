package template

import "github.com/stowage-dev/stowage/scripts/local/assembly"

// Model is everything that an assembly declares, by kind. Entities refer to each
// other by ARN, as in the template.
type Model struct {
	Functions   []*Function
	Mappings    []Mapping
	Permissions []Permission
	Queues      []*Queue
	Tables      []Table
	Buckets     []*Bucket
	Secrets     []*Secret
	Parameters  []Parameter
	Roles       []*Role
	Policies    []ManagedPolicy
	Keys        []*Key
	Topics      []*Topic
	Buses       []Bus
	Rules       []Rule
	Archives    []Archive
	Schedules   []Schedule
	APIs        []*API
	UserPools   []*UserPool
	LogGroups   []LogGroup
	Inert       []Inert

	Databases        []*Database
	Proxies          []*DatabaseProxy
	NetworkEndpoints []NetworkEndpoint
	CustomResources  []CustomResource
}

// Origin says where in the app an entity comes from.
type Origin struct {
	Stack, LogicalID, ConstructPath string
}

func origin(r assembly.Resource) Origin {
	return Origin{Stack: r.Stack, LogicalID: r.LogicalID, ConstructPath: r.ConstructPath}
}

// Inert is a resource that is recognised and has nothing to run locally.
type Inert struct {
	Type, Name, ConstructPath, Reason string
}
