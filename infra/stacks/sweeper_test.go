package stacks

import (
	"fmt"
	"strings"
	"testing"
)

func sweeperEnvironment(stage Stage) []string {
	if stage == Prod {
		return []string{"STOWAGE_BUCKET", "STOWAGE_INVENTORY_BUCKET", "STOWAGE_INVENTORY_PREFIX", "STOWAGE_LOG_LEVEL", "STOWAGE_STAGE", "STOWAGE_TABLE"}
	}
	return []string{"STOWAGE_BUCKET", "STOWAGE_LOG_LEVEL", "STOWAGE_STAGE", "STOWAGE_TABLE"}
}

func sweeperActions(stage Stage) []string {
	actions := []string{
		"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem", "kms:Decrypt", "kms:GenerateDataKey",
		"s3:AbortMultipartUpload", "s3:DeleteObjectVersion", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions",
		"s3:ListMultipartUploadParts", "s3:PutObject",
	}
	if stage == Prod {
		actions = append(actions, "s3:GetObject", "s3:ListBucket") // of the reports
	}
	return actions
}

// TestSweepsAreScheduled asks that both sweeps run, each with its own input, and that
// EventBridge may invoke the function for these rules and no others.
func TestSweepsAreScheduled(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			function := d.service.one(t, "Service/UploadSweeper/Default/Resource")
			rules := d.service.all("AWS::Events::Rule")
			inputs := map[string]any{}
			for _, rule := range rules {
				if rule.property("ScheduleExpression") == nil {
					continue // of events, not of time
				}
				rule.want(t, map[string]any{"State": "ENABLED", "Targets.0.RetryPolicy.MaximumRetryAttempts": 2})
				if !refersTo(rule.property("Targets.0.Arn"), function.id) {
					t.Errorf("%s invokes %v", rule.path(), rule.property("Targets.0.Arn"))
				}
				inputs[rule.property("Targets.0.Input").(string)] = rule.property("ScheduleExpression")
				allowed := false
				for _, permission := range d.service.all("AWS::Lambda::Permission") {
					allowed = allowed || permission.property("Principal") == "events.amazonaws.com" && refersTo(permission.property("SourceArn"), rule.id)
				}
				if !allowed {
					t.Errorf("%s may not invoke its function", rule.path())
				}
			}
			if len(inputs) != 2 || inputs[`{"sweep":"uploads"}`] != "rate(5 minutes)" || inputs[`{"sweep":"bytes"}`] != "rate(15 minutes)" {
				t.Errorf("schedules are %v", inputs)
			}
		})
	}
}

// TestInventoryReportsInProduction asks for a daily report on every version, readable to
// the sweeper alone.
func TestInventoryReportsInProduction(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			content := d.data.one(t, "Data/Content/Default/Resource")
			if d.stage != Prod {
				if content.property("InventoryConfigurations") != nil {
					t.Error("a report is paid for that nobody needs")
				}
				return
			}
			content.want(t, map[string]any{
				"InventoryConfigurations.0.Enabled":                true,
				"InventoryConfigurations.0.Id":                     "versions",
				"InventoryConfigurations.0.IncludedObjectVersions": "All",
				"InventoryConfigurations.0.ScheduleFrequency":      "Daily",
				"InventoryConfigurations.0.Prefix":                 "c/",
				"InventoryConfigurations.0.OptionalFields":         []string{"Size", "LastModifiedDate"},
				"InventoryConfigurations.0.Destination.Format":     "CSV",
				"InventoryConfigurations.0.Destination.Prefix":     "inventory",
			})
			logs := d.data.one(t, "Data/AccessLogs/Default/Resource")
			if !refersTo(content.property("InventoryConfigurations.0.Destination.BucketArn"), logs.id) {
				t.Errorf("reports go to %v", content.property("InventoryConfigurations.0.Destination"))
			}
			written := false
			for _, statement := range statements(d.data.one(t, "Data/AccessLogs/Default/Policy/Resource").property("PolicyDocument")) {
				principal, _ := statement["Principal"].(map[string]any)
				if principal["Service"] == "s3.amazonaws.com" && statement["Effect"] == "Allow" {
					written = refersTo(statement["Condition"], content.id)
				}
			}
			if !written {
				t.Error("S3 may not write the reports, or may for any bucket")
			}
			prefix := d.service.one(t, "Service/UploadSweeper/Default/Resource").property("Environment.Variables.STOWAGE_INVENTORY_PREFIX")
			if text := strings.ReplaceAll(fmt.Sprintf("%#v", prefix), " ", ""); !strings.Contains(text, `"inventory"`) || !strings.Contains(text, `"versions"`) {
				t.Errorf("the sweeper looks for reports below %s", text)
			}
		})
	}
}
