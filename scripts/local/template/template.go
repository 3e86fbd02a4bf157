// Package template turns resolved resources into a typed model of what an
// assembly declares: functions, queues, tables, buckets, roles and so on.
//
// Decoding is strict. A property that the package does not know is an error
// naming the stack, the resource, its construct path and the property, because
// a property that is silently dropped is a difference between the laptop and
// the account. Properties that are known and have no effect on a laptop are
// fields of type NoLocalEffect, each with the reason; resource types without
// effect are listed with theirs in inertTypes.
package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Decode builds the model. The error joins everything that is unknown or wrong.
func Decode(resources []assembly.Resource) (*Model, error) {
	d := &decoder{model: &Model{}, decoders: decoders(), inert: inertTypes(), parameters: map[string]map[string]string{}}
	d.handlers = d.customResourceHandlers(resources)
	var errs []error
	for _, r := range resources {
		if err := d.decode(r); err != nil {
			errs = append(errs, fmt.Errorf("%s at %s: %w", r, r.ConstructPath, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := d.link(); err != nil {
		return nil, err
	}
	return d.model, nil
}

// decodeFunc adds one resource of its type to the model.
type decodeFunc func(d *decoder, r assembly.Resource) error

type decoder struct {
	model    *Model
	decoders map[string]decodeFunc
	inert    map[string]string
	handlers map[string]bool // ARNs of functions that only serve custom resources
	pending  []pending       // what is folded into other entities once all are known
	// parameters are those of the databases' parameter groups, by name
	parameters map[string]map[string]string
}

// pending is something that one resource says about another.
type pending struct {
	about assembly.Resource
	apply func() error
}

func (d *decoder) decode(r assembly.Resource) error {
	if why, ok := d.inert[r.Type]; ok {
		d.model.Inert = append(d.model.Inert, Inert{Type: r.Type, Name: r.Name, ConstructPath: r.ConstructPath, Reason: why})
		return nil
	}
	decode, ok := d.decoders[r.Type]
	if !ok && strings.HasPrefix(r.Type, "Custom::") {
		decode, ok = decodeCustom, true
	}
	if !ok {
		return fmt.Errorf("the local runtime does not run this type")
	}
	return decode(d, r)
}

func (d *decoder) later(r assembly.Resource, apply func() error) {
	d.pending = append(d.pending, pending{r, apply})
}

func (d *decoder) link() error {
	var errs []error
	for _, p := range d.pending {
		if err := p.apply(); err != nil {
			errs = append(errs, fmt.Errorf("%s at %s: %w", p.about, p.about.ConstructPath, err))
		}
	}
	return errors.Join(errs...)
}

// decoders is the table of the types that do something here.
func decoders() map[string]decodeFunc {
	return map[string]decodeFunc{
		"AWS::S3::Bucket":                       decodeBucket,
		"AWS::S3::BucketPolicy":                 decodeBucketPolicy,
		"Custom::S3BucketNotifications":         decodeNotifications,
		"AWS::DynamoDB::GlobalTable":            decodeTable,
		"AWS::SecretsManager::Secret":           decodeSecret,
		"AWS::SecretsManager::RotationSchedule": decodeRotation,
		"AWS::SecretsManager::ResourcePolicy":   decodeSecretPolicy,
		"AWS::SSM::Parameter":                   decodeParameter,
		"AWS::Lambda::Function":                 decodeFunction,
		"AWS::Lambda::EventSourceMapping":       decodeMapping,
		"AWS::Lambda::Permission":               decodePermission,
		"AWS::Lambda::EventInvokeConfig":        decodeInvokeConfig,
		"AWS::IAM::Role":                        decodeRole,
		"AWS::IAM::Policy":                      decodePolicy,
		"AWS::IAM::ManagedPolicy":               decodeManagedPolicy,
		"AWS::KMS::Key":                         decodeKey,
		"AWS::KMS::Alias":                       decodeAlias,
		"AWS::SQS::Queue":                       decodeQueue,
		"AWS::SQS::QueuePolicy":                 decodeQueuePolicy,
		"AWS::SNS::Topic":                       decodeTopic,
		"AWS::SNS::TopicPolicy":                 decodeTopicPolicy,
		"AWS::SNS::Subscription":                decodeSubscription,
		"AWS::Events::EventBus":                 decodeBus,
		"AWS::Events::Rule":                     decodeRule,
		"AWS::Events::Archive":                  decodeArchive,
		"AWS::GuardDuty::MalwareProtectionPlan": decodeMalwareProtection,
		"AWS::Scheduler::ScheduleGroup":         decodeScheduleGroup,
		"AWS::Scheduler::Schedule":              decodeSchedule,
		"AWS::ApiGatewayV2::Api":                decodeAPI,
		"AWS::ApiGatewayV2::Integration":        decodeIntegration,
		"AWS::ApiGatewayV2::Route":              decodeRoute,
		"AWS::ApiGatewayV2::Authorizer":         decodeAuthorizer,
		"AWS::ApiGatewayV2::Stage":              decodeStage,
		"AWS::Cognito::UserPool":                decodeUserPool,
		"AWS::Cognito::UserPoolClient":          decodeUserPoolClient,
		"AWS::Cognito::UserPoolResourceServer":  decodeResourceServer,
		"AWS::Cognito::UserPoolGroup":           decodeUserPoolGroup,
		"AWS::Logs::LogGroup":                   decodeLogGroup,
		"AWS::EC2::VPCEndpoint":                 decodeEndpoint,
		"AWS::RDS::DBCluster":                   decodeCluster,
		"AWS::RDS::DBInstance":                  decodeInstance,
		"AWS::RDS::DBClusterParameterGroup":     decodeParameterGroup,
		"AWS::RDS::DBProxy":                     decodeProxy,
		"AWS::RDS::DBProxyTargetGroup":          decodeProxyTargets,
		"AWS::RDS::DBProxyEndpoint":             decodeProxyEndpoint,
	}
}

// inertTypes are recognised and have nothing to run on a laptop; their
// properties are not looked at.
func inertTypes() map[string]string {
	const (
		watched = "nothing is monitored locally: look at the logs"
		network = "functions and engines share this machine; which services are reached, its endpoints say"
	)
	return map[string]string{
		"AWS::CDK::Metadata":              "only AWS reads it",
		"AWS::CloudWatch::Alarm":          watched,
		"AWS::CloudWatch::CompositeAlarm": watched,
		"AWS::CloudWatch::Dashboard":      watched,
		"AWS::Logs::MetricFilter":         watched,
		"AWS::Logs::QueryDefinition":      watched,
		"AWS::Logs::ResourcePolicy":       "logs are written straight to files",
		"AWS::Cognito::UserPoolDomain":    "the local issuer has one address for everything",
		"Custom::S3AutoDeleteObjects":     "it acts when a stack is deleted; RESET=1 does that here",

		"AWS::EC2::VPC":                         network,
		"AWS::EC2::Subnet":                      network,
		"AWS::EC2::RouteTable":                  network,
		"AWS::EC2::SubnetRouteTableAssociation": network,
		"AWS::EC2::SecurityGroup":               network,
		"AWS::EC2::SecurityGroupIngress":        network,
		"AWS::EC2::SecurityGroupEgress":         network,
		"AWS::RDS::DBSubnetGroup":               network,
	}
}

// customResourceHandlers finds the functions that a custom resource of the CDK's names
// as its service token. The CDK brings them along with its own constructs, in Python or
// JavaScript; what they would do is done from the custom resource's properties. Custom
// resources of other types are run, by their functions.
func (d *decoder) customResourceHandlers(resources []assembly.Resource) map[string]bool {
	handlers := map[string]bool{}
	for _, r := range resources {
		token, ok := r.Properties["ServiceToken"].(string)
		if ok && strings.HasPrefix(r.Type, "Custom::") && (d.decoders[r.Type] != nil || d.inert[r.Type] != "") {
			handlers[token] = true
		}
	}
	return handlers
}

// properties decodes a resource's properties, refusing those that P does not know.
func properties[P any](r assembly.Resource) (P, error) {
	var p P
	raw, err := json.Marshal(r.Properties)
	if err != nil {
		return p, fmt.Errorf("encode properties: %w", err)
	}
	if err = strictJSON(raw, &p); err != nil && !strings.Contains(err.Error(), "property ") {
		err = fmt.Errorf("property %s: %w", culprit[P](r.Properties), err)
	}
	return p, err
}

// culprit is the first property that does not decode by itself: an error of a
// value does not know where the value stands.
func culprit[P any](properties map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		raw, err := json.Marshal(map[string]any{name: properties[name]})
		if err != nil || strictJSON(raw, new(P)) != nil {
			return name
		}
	}
	return "?"
}

// strictJSON decodes raw, refusing members that into does not know.
func strictJSON(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return explain(err)
	}
	return nil
}

// explain puts a decoding error into the words of a template.
func explain(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("the local runtime does not know property %s", name)
	}
	if typ, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("property %s: want %s, have %s", typ.Field, typ.Type, typ.Value)
	}
	return err
}
