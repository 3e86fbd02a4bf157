package stacks

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/infra/internal/golden"
	"github.com/stowage-dev/stowage/shared/guarddutyscan"
)

// scanners are the contexts of the two scanners.
func scanners() map[string]map[string]any {
	return map[string]map[string]any{
		scannerGuardDuty: {"scanner": "guardduty"},
		scannerClamd: {
			"scanner": "clamd", "clamdAddress": "clamd.internal:3310", "clamdMaxMiB": "200",
			"clamdSubnets": "subnet-0a1b2c3d,subnet-4e5f6a7b", "clamdSecurityGroups": "sg-0a1b2c3d",
		},
	}
}

var withScanner = map[string]map[Stage]deployment{scannerGuardDuty: {}, scannerClamd: {}}

func eachScanner(t *testing.T) map[string]deployment {
	t.Helper()
	all := map[string]deployment{}
	for name, context := range scanners() {
		d, ok := withScanner[name][Prod]
		if !ok {
			own := map[string]any{"stage": string(Prod)}
			maps.Copy(own, context)
			d = synthesize(t, own)
			withScanner[name][Prod] = d
		}
		all[name] = d
	}
	return all
}

func TestScannersAreThoseKept(t *testing.T) {
	for name, d := range eachScanner(t) {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, filepath.Join("prod-"+name, "Service.template.json"), d.service)
		})
	}
}

// TestWithoutAScannerThereIsNothingOfIt asks that what is not chosen costs nothing.
func TestWithoutAScannerThereIsNothingOfIt(t *testing.T) {
	for _, d := range eachStage(t) {
		if n := len(d.service.all("AWS::GuardDuty::MalwareProtectionPlan")); n > 0 {
			t.Errorf("%s has %d protection plans", d.stage, n)
		}
		variables := d.service.one(t, "Service/S3Ingest/Default/Resource").property("Environment.Variables").(map[string]any)
		if variables["STOWAGE_SCANNER"] != nil {
			t.Errorf("%s scans with %v", d.stage, variables["STOWAGE_SCANNER"])
		}
	}
}

// TestVerdictsReachIngest asks that s3-ingest acts on the queue of verdicts, that nothing
// is lost on the way, and that somebody is told of what is never decided.
func TestVerdictsReachIngest(t *testing.T) {
	for name, d := range eachScanner(t) {
		t.Run(name, func(t *testing.T) {
			service := d.service
			queue, ingest := service.one(t, "Service/Verdicts/Default/Resource"), service.one(t, "Service/S3Ingest/Default/Resource")
			mapping := service.one(t, "Service/VerdictsMapping/Resource")
			if !refersTo(mapping.property("EventSourceArn"), queue.id) || !refersTo(mapping.property("FunctionName"), ingest.id) {
				t.Errorf("the mapping is of %v to %v", mapping.property("EventSourceArn"), mapping.property("FunctionName"))
			}
			if v := ingest.property("Environment.Variables").(map[string]any); v["STOWAGE_SCANNER"] != name || !refersTo(v["STOWAGE_VERDICT_QUEUE_ARN"], queue.id) {
				t.Errorf("s3-ingest is told %v", v)
			}
			if !strings.Contains(fmt.Sprint(service.one(t, "Service/S3Ingest/Role/DefaultPolicy/Resource").property("PolicyDocument")), "dynamodb:DeleteItem") {
				t.Error("s3-ingest may not free the path of what is infected")
			}
			var watched []string
			for _, alarm := range service.all("AWS::CloudWatch::Alarm") {
				metric, _ := alarm.property("MetricName").(string)
				watched = append(watched, metric)
			}
			for _, metric := range []string{"ScanInconclusive", "SweepUnscannedUploads", "ScanMalwareInAvailable"} {
				if !slices.Contains(watched, metric) {
					t.Errorf("nobody watches %s", metric)
				}
			}
		})
	}
}

// TestGuardDutyReadsTheQuarantineAndTagsNothing holds what would let it open the quarantine
// out of its role.
func TestGuardDutyReadsTheQuarantineAndTagsNothing(t *testing.T) {
	service := eachScanner(t)[scannerGuardDuty].service
	plan := service.one(t, "Service/MalwareProtection/Resource")
	role := service.one(t, "Service/MalwareProtection/Role/Resource")
	plan.want(t, map[string]any{
		"Actions.Tagging.Status":                    "DISABLED",
		"ProtectedResource.S3Bucket.ObjectPrefixes": []string{objectPrefix},
	})
	if !refersTo(plan.property("Role"), role.id) {
		t.Errorf("the plan's role is %v", plan.property("Role"))
	}
	role.want(t, map[string]any{"AssumeRolePolicyDocument.Statement.0.Principal.Service": "malware-protection-plan.guardduty.amazonaws.com"})
	if tags := fmt.Sprint(role.property("Tags")); !strings.Contains(tags, "reader") || strings.Contains(tags, "writer") {
		t.Errorf("the role is tagged %s", tags)
	}
	for _, statement := range statements(service.one(t, "Service/MalwareProtection/Role/DefaultPolicy/Resource").property("PolicyDocument")) {
		for _, action := range texts(statement["Action"]) {
			if strings.Contains(action, "Tagging") || strings.Contains(action, "DeleteObject") {
				t.Errorf("GuardDuty may %s", action)
			}
		}
	}
	rule := service.one(t, "Service/VerdictsSaid/Default/Resource")
	rule.want(t, map[string]any{
		"EventPattern.source": []string{guarddutyscan.Source}, "EventPattern.detail-type": []string{guarddutyscan.DetailType},
	})
	if rule.property("EventBusName") != nil {
		t.Errorf("the rule is one of the bus %v: AWS's services tell the default one", rule.property("EventBusName"))
	}
	if !refersTo(rule.property("Targets.0.Arn"), service.one(t, "Service/Verdicts/Default/Resource").id) {
		t.Errorf("the rule's target is %v", rule.property("Targets"))
	}
}

// TestWhatReadsHostileBytesOpensNothing holds the scanner's function to reading.
func TestWhatReadsHostileBytesOpensNothing(t *testing.T) {
	service := eachScanner(t)[scannerClamd].service
	function := service.one(t, "Service/MalwareScanner/Default/Resource")
	function.want(t, map[string]any{
		"Environment.Variables.STOWAGE_CLAMD_ADDRESS": "clamd.internal:3310", "Environment.Variables.STOWAGE_CLAMD_MAX_BYTES": "209715200",
		"VpcConfig.SubnetIds": []string{"subnet-0a1b2c3d", "subnet-4e5f6a7b"}, "VpcConfig.SecurityGroupIds": []string{"sg-0a1b2c3d"},
	})
	if tags := fmt.Sprint(service.one(t, "Service/MalwareScanner/Role/Resource").property("Tags")); !strings.Contains(tags, "reader") || strings.Contains(tags, "writer") {
		t.Errorf("the role is tagged %s", tags)
	}
	for _, statement := range statements(service.one(t, "Service/MalwareScanner/Role/DefaultPolicy/Resource").property("PolicyDocument")) {
		for _, action := range texts(statement["Action"]) {
			content := strings.Contains(fmt.Sprint(statement["Resource"]), "/"+objectPrefix+"*")
			if content && action != "s3:GetObjectVersion" || strings.HasPrefix(action, "dynamodb:") {
				t.Errorf("it may %s", action)
			}
		}
	}
	if variables := service.one(t, "Service/S3Ingest/Default/Resource").property("Environment.Variables").(map[string]any); variables["STOWAGE_SCAN_QUEUE_URL"] == nil {
		t.Error("s3-ingest does not know where to ask for scans")
	}
}

func TestSettingsOfScanning(t *testing.T) {
	for name, tc := range map[string]struct {
		context map[string]any
		says    string
	}{
		"no scanner of ours":     {map[string]any{"scanner": "norton"}, "guardduty"},
		"clamd nowhere":          {map[string]any{"scanner": "clamd"}, "clamdAddress"},
		"an address for nobody":  {map[string]any{"clamdAddress": "a:1"}, "scanner=clamd"},
		"no address":             {map[string]any{"scanner": "clamd", "clamdAddress": "tcp://a:1"}, "host and port"},
		"subnets without groups": {map[string]any{"scanner": "clamd", "clamdAddress": "a:1", "clamdSubnets": "subnet-0a1b2c3d"}, "clamdSecurityGroups"},
		"more than clamd takes":  {map[string]any{"scanner": "clamd", "clamdAddress": "a:1", "clamdMaxMiB": "2048"}, "2047"},
		"misspelt":               {map[string]any{"scaner": "clamd"}, "write scanner"},
	} {
		if _, err := ReadSettings(tc.context, ""); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want it to say %s", name, err, tc.says)
		}
	}
	for name, context := range scanners() {
		if s, err := ReadSettings(context, ""); err != nil || s.Scanning.Scanner != name {
			t.Errorf("%s: %+v, %v", name, s.Scanning, err)
		}
	}
}
