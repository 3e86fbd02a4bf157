package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// Services that act for themselves.
const (
	serviceS3      = "s3.amazonaws.com"
	serviceLambda  = "lambda.amazonaws.com"
	serviceEvents  = "events.amazonaws.com"
	serviceAPI     = "apigateway.amazonaws.com"
	serviceCognito = "cognito-idp.amazonaws.com"
)

// sending is the action by which something is sent to a queue or a function.
func sending(target string) string {
	if serviceOf(target) == "lambda" {
		return "lambda:InvokeFunction"
	}
	return "sqs:SendMessage"
}

// permit asks the policies about what AWS does inside.
func (s *Stack) permit(ctx context.Context, in authorize.Inner) error {
	return s.access.Load().Permit(ctx, in)
}

// session is a session of a role in which AWS acts.
func (s *Stack) session(roleARN, name string) *gateway.Caller {
	role := roleARN[strings.LastIndexByte(roleARN, '/')+1:]
	return &gateway.Caller{
		PrincipalARN: "arn:aws:sts::" + s.account + ":assumed-role/" + role + "/" + name, RoleARN: roleARN,
		UserID: s.credentials.RoleID(roleARN) + ":" + name, Issued: s.cfg.Now(),
	}
}

// roleOf is the session in which Lambda acts for a function.
func (s *Stack) roleOf(functionARN string) (*gateway.Caller, error) {
	f, err := functionOf(s.present.Load(), functionARN)
	if err != nil {
		return nil, err
	}
	return s.session(f.RoleARN, f.Name), nil
}

func functionOf(m *template.Model, arn string) (*template.Function, error) {
	i := slices.IndexFunc(m.Functions, func(f *template.Function) bool { return f.ARN == arn })
	if i < 0 {
		return nil, fmt.Errorf("no stack declares the function %s", arn)
	}
	return m.Functions[i], nil
}

// permitFunction asks whether Lambda may do something with a function's role.
func (s *Stack) permitFunction(ctx context.Context, functionARN, action, resource string) error {
	caller, err := s.roleOf(functionARN)
	if err != nil {
		return err
	}
	return s.permit(ctx, authorize.Inner{Caller: caller, Action: action, Resource: resource})
}

// permitDestination asks whether Lambda may send what became of a function to an ARN.
func (s *Stack) permitDestination(ctx context.Context, functionARN, target string) error {
	return s.permitFunction(ctx, functionARN, sending(target), target)
}

// permitNotification asks whether a bucket may tell a queue or function.
func (s *Stack) permitNotification(ctx context.Context, bucket, target string) error {
	return s.permit(ctx, authorize.Inner{Service: serviceS3, Source: "arn:aws:s3:::" + bucket, Action: sending(target), Resource: target})
}

// permitAPI asks whether a route may invoke a function.
func (s *Stack) permitAPI(ctx context.Context, source, functionARN string) error {
	return s.permit(ctx, authorize.Inner{Service: serviceAPI, Source: source, Action: "lambda:InvokeFunction", Resource: functionARN})
}

// permitTrigger asks whether the user pool that an event comes from may invoke a function.
func (s *Stack) permitTrigger(ctx context.Context, event []byte, functionARN string) error {
	var from struct {
		UserPoolID string `json:"userPoolId"`
	}
	if err := json.Unmarshal(event, &from); err != nil {
		return fmt.Errorf("read the trigger's event: %w", err)
	}
	pool := "arn:aws:cognito-idp:" + s.region + ":" + s.account + ":userpool/" + from.UserPoolID
	return s.permit(ctx, authorize.Inner{Service: serviceCognito, Source: pool, Action: "lambda:InvokeFunction", Resource: functionARN})
}

// permitTelemetry asks, once for each function, whether Lambda may write the function's logs and traces
// with its role. Where it may not, AWS loses them without a word.
func (s *Stack) permitTelemetry(name string) {
	m := s.present.Load()
	i := slices.IndexFunc(m.Functions, func(f *template.Function) bool { return f.Name == name })
	if _, asked := s.telemetry.LoadOrStore(name, true); asked || i < 0 {
		return
	}
	f := m.Functions[i]
	group := f.LogGroup
	if group == "" {
		group = "/aws/lambda/" + f.Name
	}
	stream := "arn:aws:logs:" + s.region + ":" + s.account + ":log-group:" + group + ":log-stream:local"
	needs := [][2]string{{"logs:CreateLogStream", stream}, {"logs:PutLogEvents", stream}}
	if f.Tracing {
		needs = append(needs, [2]string{"xray:PutTraceSegments", "*"}, [2]string{"xray:PutTelemetryRecords", "*"})
	}
	for _, need := range needs {
		if err := s.permitFunction(context.Background(), f.ARN, need[0], need[1]); err != nil {
			s.cfg.Logger.Warn("on AWS a function's logs or traces would be lost", "function", name, "error", err)
		}
	}
}

// permitEvent asks whether a rule or a schedule may send to an ARN: with the role that its target names,
// or as EventBridge itself. To dead-letter queues, rules send as themselves.
func (s *Stack) permitEvent(ctx context.Context, source, target string) error {
	in := authorize.Inner{Service: serviceEvents, Source: source, Action: sending(target), Resource: target}
	for _, t := range s.targetsOf(source) {
		deadLetters := t.DeadLetterARN == target && serviceOf(source) == "scheduler"
		if t.RoleARN != "" && (t.ARN == target || deadLetters) {
			in.Caller = s.session(t.RoleARN, source[strings.LastIndexByte(source, '/')+1:])
		}
	}
	return s.permit(ctx, in)
}

// targetsOf are the targets of a rule or a schedule.
func (s *Stack) targetsOf(source string) []template.Target {
	for _, r := range s.present.Load().Rules {
		if r.ARN == source {
			return r.Targets
		}
	}
	for _, sch := range s.present.Load().Schedules {
		if sch.ARN == source {
			return []template.Target{sch.Target}
		}
	}
	return nil
}

// checkAccess refuses what CloudFormation would fail to deploy for want of a permission: services ask
// for it when they are told to act with a role or to send somewhere.
func (s *Stack) checkAccess(m *template.Model) error {
	ctx := context.Background() // nothing is waited for
	var errs []error
	check := func(path, what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s cannot be deployed: %s: %w", path, what, err))
		}
	}
	as := func(functionARN, action, resource string) error {
		f, err := functionOf(m, functionARN)
		if err != nil {
			return err
		}
		return s.permit(ctx, authorize.Inner{Caller: s.session(f.RoleARN, f.Name), Action: action, Resource: resource, Asked: !askedOnce(action)})
	}
	for _, f := range m.Functions {
		check(f.ConstructPath, "Lambda may not assume its role", s.permit(ctx, authorize.Inner{Service: serviceLambda, Action: "sts:AssumeRole", Resource: f.RoleARN, Asked: true}))
		if f.InNetwork {
			for _, action := range networkActions() {
				check(f.ConstructPath, "Lambda may not put it into its network", s.permit(ctx, authorize.Inner{Caller: s.session(f.RoleARN, f.Name), Action: action, Resource: "*"}))
			}
		}
		for _, target := range []string{f.Async.OnSuccess, f.Async.OnFailure, f.DeadLetterARN} {
			if target != "" {
				check(f.ConstructPath, "its role may not send to "+target, as(f.ARN, sending(target), target))
			}
		}
	}
	for _, b := range m.Buckets {
		for _, n := range b.Notifications {
			check(b.ConstructPath, "S3 may not notify "+n.TargetARN, s.permitNotification(ctx, b.Name, n.TargetARN))
		}
	}
	for _, mapping := range m.Mappings {
		for _, needs := range mappingNeeds(mapping) {
			check(mapping.ConstructPath, "the role of its function does not suffice", as(mapping.FunctionARN, needs[0], needs[1]))
		}
	}
	return errors.Join(errs...)
}

// networkActions are what Lambda makes and removes a function's network interfaces with.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
func networkActions() []string {
	return []string{"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
		"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"}
}

// askedOnce says whether an action is one that Lambda takes only when a mapping is made.
func askedOnce(action string) bool {
	return action == "sqs:GetQueueAttributes" || action == "s3:ListBucket"
}

// mappingNeeds are the actions, with their resources, that Lambda asks a mapping's role for when the
// mapping is made.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb.html
func mappingNeeds(m template.Mapping) [][2]string {
	actions := []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
	if serviceOf(m.SourceARN) == "dynamodb" {
		actions = []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}
	}
	var needs [][2]string
	for _, action := range actions {
		needs = append(needs, [2]string{action, m.SourceARN})
	}
	switch serviceOf(m.OnFailureARN) {
	case "sqs":
		needs = append(needs, [2]string{"sqs:SendMessage", m.OnFailureARN})
	case "s3":
		needs = append(needs, [2]string{"s3:ListBucket", m.OnFailureARN}, [2]string{"s3:PutObject", m.OnFailureARN + "/aws/lambda/" + m.ID + "/"})
	}
	return needs
}
