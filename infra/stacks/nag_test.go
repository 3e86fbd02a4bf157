package stacks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// accepted is a finding of cdk-nag that stays, and why. appliesTo narrows it
// to the part that the finding names, by a regular expression; empty: all of it.
type accepted struct {
	path, rule, appliesTo, reason string
}

func acceptedFindings(stage Stage) []accepted {
	const (
		xray = "X-Ray's PutTraceSegments and PutTelemetryRecords know no resource but *: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html"
		keys = "Objects are named when they are uploaded; the grant ends at the prefix under which all of them lie."
		dead = "Dead letters are named when they are written; the grant ends at the prefix of this kind of dead letter."
	)
	findings := []accepted{
		{
			"/Data/BucketNotificationsHandler050a0587b7544547bf325f094a3db834/Role/Resource", "AwsSolutions-IAM4", "",
			"The role is the CDK's own, of the function that writes the bucket's notification configuration during a deployment and never after; the managed policy lets it write its log.",
		},
		{"/Service/UploadApi/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/S3Ingest/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/StreamFanout/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/TokenClaims/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/UploadSweeper/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/UploadSweeper/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/c/\*$`, keys},
		{"/Service/UploadCompleter/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/UploadCompleter/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/c/\*$`, keys},
		{"/Service/UploadCompleter/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*DeadLetters.*/dead/\*$`, dead},
		{"/Service/Signer/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/c/\*$`, keys},
		{"/Service/Signer/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/d/\*$`, keys},
		{"/Service/ImageDerivatives/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, xray},
		{"/Service/ImageDerivatives/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/[cd]/\*$`, keys},
		{"/Service/ImageDerivatives/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*DeadLetters.*/dead/\*$`, dead},
		{"/Service/S3Ingest/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/c/\*$`, keys},
		{"/Service/S3Ingest/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*DeadLetters.*/dead/\*$`, dead},
		{"/Service/StreamFanout/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*DeadLetters.*/dead/\*$`, dead},
		{"/Service/StreamFanout/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*DeadLetters.*/aws/lambda/\*$`, dead},
		{
			"/Service/CursorKey/Resource", "AwsSolutions-SMG4", "",
			"The key seals page cursors, which are worthless after their list is read. It is rotated by writing a new value (docs/deploy.md); the one before it is still read as AWSPREVIOUS.",
		},
		{
			"/Service/Users/Default/Resource", "AwsSolutions-COG3", "",
			"Threat protection belongs to the Plus plan; the pool is on Essentials, asks everybody for a second factor and lets nobody sign up by themselves.",
		},
	}
	if stage == Prod {
		findings = append(findings, accepted{
			"/Service/UploadSweeper/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*AccessLogs.*/inventory/\*$`,
			"Reports are named when S3 writes them; the grant ends at the prefix under which all of them lie.",
		})
	}
	return findings
}

func TestAwsSolutionsPackPasses(t *testing.T) {
	for _, stage := range []string{"dev", "prod"} {
		t.Run(stage, func(t *testing.T) {
			root, app := newTestApp(t, map[string]any{"stage": stage, "relational": "true"})
			stackOf := map[string]awscdk.Stack{"Data": app.Data.Stack, "Service": app.Service.Stack, "Relational": app.Relational.Stack}
			findings := append(acceptedFindings(Stage(stage)), relationalFindings(Stage(stage))...)
			for _, a := range findings {
				suppress(stackOf[strings.Split(a.path, "/")[1]], a)
			}
			awscdk.Aspects_Of(root).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{
				ReportFormats: &[]cdknag.NagReportFormat{cdknag.NagReportFormat_JSON},
			}), nil)
			root.Synth(nil)

			found := map[string][]string{} // the parts that were accepted, by path and rule
			for _, line := range readReports(t, *root.Outdir()) {
				switch line.Compliance {
				case "Compliant", "N/A":
				case "Suppressed":
					at := "/" + line.ResourceID + " " + line.RuleID
					// "[part] reason" when the acceptance names a part
					part, _, _ := strings.Cut(strings.TrimPrefix(line.ExceptionReason, "["), "] ")
					found[at] = append(found[at], part)
				default:
					t.Errorf("%s, %s %s: %s", line.ResourceID, line.RuleID, line.Compliance, line.RuleInfo)
				}
			}
			for _, a := range findings {
				if !slices.ContainsFunc(found[a.path+" "+a.rule], regexp.MustCompile(a.appliesTo).MatchString) {
					t.Errorf("%s no longer finds %s %s: take the acceptance out", a.rule, a.path, a.appliesTo)
				}
			}
		})
	}
}

func suppress(stack awscdk.Stack, a accepted) {
	suppression := &cdknag.NagPackSuppression{Id: jsii.String(a.rule), Reason: jsii.String(a.reason)}
	if a.appliesTo != "" {
		suppression.AppliesTo = &[]interface{}{&cdknag.RegexAppliesTo{
			Regex: jsii.String("/" + strings.ReplaceAll(a.appliesTo, "/", `\/`) + "/"),
		}}
	}
	cdknag.NagSuppressions_AddResourceSuppressionsByPath(stack, jsii.String(a.path), &[]*cdknag.NagPackSuppression{suppression}, jsii.Bool(false))
}

// reportLine is what cdk-nag says of one rule on one resource.
type reportLine struct {
	RuleID, ResourceID, Compliance, ExceptionReason, RuleInfo string
}

// readReports reads what cdk-nag wrote beside the templates, one file a stack.
func readReports(t *testing.T, outdir string) []reportLine {
	t.Helper()
	reports, err := filepath.Glob(filepath.Join(outdir, "AwsSolutions-*-NagReport.json"))
	if err != nil || len(reports) != 3 {
		t.Fatalf("reports of cdk-nag in %s: %v, %v", outdir, reports, err)
	}
	var lines []reportLine
	for _, report := range reports {
		text, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Lines []reportLine }
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", report, err)
		}
		lines = append(lines, doc.Lines...)
	}
	return lines
}
