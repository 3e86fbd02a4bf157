package stacks

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsGivenUpIsToldToSomebody asks that everything that gives work up is watched, that every
// alarm is told to somebody, and that the telling can get through.
func TestWhatIsGivenUpIsToldToSomebody(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			data, service := d.data, d.service
			topic := service.one(t, "Service/Alarms/Default/Resource")
			watched := map[string]bool{}
			for _, alarm := range service.all("AWS::CloudWatch::Alarm") {
				alarm.want(t, map[string]any{"AlarmActions": []any{map[string]string{"Ref": topic.id}}, "TreatMissingData": "notBreaching"})
				if alarm.property("AlarmDescription") == nil {
					t.Errorf("%s does not say what has happened", alarm.path())
				}
				metric, _ := alarm.property("MetricName").(string)
				watched[metric] = true
				for _, queue := range data.all("AWS::SQS::Queue") {
					if metric == "ApproximateNumberOfMessagesVisible" && refersTo(alarm.property("Dimensions"), queue.id) {
						watched[queue.id] = true
					}
				}
			}
			for _, metric := range []string{"Errors", "Throttles", "IteratorAge", "5xx", "OnFailureDestinationDeliveredEventCount", "RecordsDeadLettered"} {
				if !watched[metric] {
					t.Errorf("nobody watches %s", metric)
				}
			}
			for _, queue := range data.all("AWS::SQS::Queue") {
				redrives := queue.property("RedrivePolicy") != nil
				if !redrives && !watched[queue.id] {
					t.Errorf("nobody watches the dead-letter queue %s", queue.path())
				}
			}

			var allowed []string
			for _, statement := range statements(service.one(t, "Service/Alarms/Key/Resource").property("KeyPolicy")) {
				if principal, ok := statement["Principal"].(map[string]any); ok && principal["Service"] == "cloudwatch.amazonaws.com" {
					allowed = texts(statement["Action"])
				}
			}
			if !slices.Equal(allowed, []string{"kms:Decrypt", "kms:GenerateDataKey*"}) {
				t.Errorf("CloudWatch may %v with the key of the alarms: what it sends would be dropped", allowed)
			}
		})
	}
}

// TestProductionKeepsItsState asks that production keeps what holds state, and that development
// removes it without a function that empties it.
func TestProductionKeepsItsState(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			stage, both := d.stage, d.both()
			stateful := []string{
				"AWS::S3::Bucket", "AWS::DynamoDB::GlobalTable", "AWS::KMS::Key", "AWS::SQS::Queue", "AWS::Events::EventBus",
				"AWS::Events::Archive", "AWS::Cognito::UserPool", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup",
			}
			want := "Delete"
			if stage == Prod {
				want = "Retain"
			}
			for _, tpl := range both {
				for _, r := range tpl.all("") {
					if slices.Contains(stateful, r.kind) && (r.at("DeletionPolicy") != want || r.at("UpdateReplacePolicy") != want) {
						t.Errorf("%s: DeletionPolicy %v, UpdateReplacePolicy %v, want %s", r.path(), r.at("DeletionPolicy"), r.at("UpdateReplacePolicy"), want)
					}
					if strings.HasPrefix(r.kind, "Custom::") && r.kind != "Custom::S3BucketNotifications" {
						t.Errorf("%s is a custom resource", r.path())
					}
				}
			}
			data, service := both[0], both[1]
			for _, id := range []string{"Catalog", "Idempotency"} {
				data.one(t, "Data/"+id+"/Default/Resource").want(t, map[string]any{"Replicas.0.DeletionProtectionEnabled": stage == Prod})
			}
			protection := "INACTIVE"
			if stage == Prod {
				protection = "ACTIVE"
			}
			service.one(t, "Service/Users/Default/Resource").want(t, map[string]any{"DeletionProtection": protection})
		})
	}
}

// TestNoResourceHasAPhysicalName asks that CloudFormation chooses every name, so that a resource can
// be replaced and two deployments can stand side by side.
func TestNoResourceHasAPhysicalName(t *testing.T) {
	for _, d := range slices.Concat(eachStage(t), eachRelational(t)) {
		t.Run(string(d.stage), func(t *testing.T) {
			both := d.both()
			// CloudFormation requires these; the CDK derives them from the stack's name
			// or they are no more than a label.
			required := map[string]string{
				"AWS::Events::EventBus":                "Name",
				"AWS::ApiGatewayV2::Api":               "Name",
				"AWS::ApiGatewayV2::Authorizer":        "Name",
				"AWS::Cognito::UserPoolResourceServer": "Name",
				"AWS::ApiGatewayV2::Stage":             "StageName",
				"AWS::IAM::Policy":                     "PolicyName",
				"AWS::RDS::DBProxy":                    "DBProxyName",
				"AWS::RDS::DBProxyEndpoint":            "DBProxyEndpointName",
			}
			for _, tpl := range both {
				for _, r := range tpl.all("") {
					properties, _ := r.body["Properties"].(map[string]any)
					kind := r.kind[strings.LastIndex(r.kind, ":")+1:]
					for name, value := range properties {
						physical := name == "Name" || name == kind+"Name" || name == "TableName" || name == "FunctionName" && kind == "Function"
						if _, text := value.(string); physical && text && required[r.kind] != name {
							t.Errorf("%s has the physical name %v", r.path(), value)
						}
					}
				}
			}
		})
	}
}

// TestTemplatesShipToAnyAccount asks that the same templates ship to any account, and that the
// data stack stands by itself.
func TestTemplatesShipToAnyAccount(t *testing.T) {
	for _, d := range slices.Concat(eachStage(t), eachRelational(t)) {
		t.Run(string(d.stage), func(t *testing.T) {
			data, both := d.data, d.both()
			account := regexp.MustCompile(`\b\d{12}\b`)
			for _, tpl := range both {
				text, err := json.Marshal(tpl)
				if err != nil {
					t.Fatal(err)
				}
				if found := account.Find(text); found != nil {
					t.Errorf("the template names the account %s", found)
				}
			}
			text, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "Fn::ImportValue") {
				t.Error("the data stack refers to another one")
			}
		})
	}
}

func TestTwoSynthesesAreTheSame(t *testing.T) {
	first, second := synthesize(t, nil), synthesize(t, nil)
	for _, pair := range [][2]template{{first.data, second.data}, {first.service, second.service}} {
		a, errA := json.Marshal(pair[0])
		b, errB := json.Marshal(pair[1])
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Error("a second synthesis gives another template")
		}
	}
}
