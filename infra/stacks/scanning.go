package stacks

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/guarddutyscan"
)

// The scanners that a deployment can choose.
const (
	scannerNone      = "none" // verified versions become available at once
	scannerGuardDuty = "guardduty"
	scannerClamd     = "clamd"
)

// Names of the settings of scanning.
const (
	keyScanner             = "scanner"
	keyClamdAddress        = "clamdAddress"
	keyClamdMaxMiB         = "clamdMaxMiB"
	keyClamdSubnets        = "clamdSubnets"
	keyClamdSecurityGroups = "clamdSecurityGroups"
)

const (
	// scanTimeout is the time-out of malware-scanner: Lambda's longest. What clamd has
	// not read by then is tried again, and given up at last.
	scanTimeout = 900
	// scanConcurrency bounds how many connections clamd gets.
	scanConcurrency = 10
)

// ScanningSettings say what looks for malware.
type ScanningSettings struct {
	Scanner string
	// Of clamd: where it is (host:port), the largest version that it is sent, and the
	// subnets and security groups of the function that talks to it; none: outside of any
	// network of the account's own.
	ClamdAddress        string
	ClamdMaxMiB         int
	ClamdSubnets        []string
	ClamdSecurityGroups []string
}

func (r *reader) scanning() ScanningSettings {
	s := ScanningSettings{
		Scanner:             r.oneOf(keyScanner, scannerNone, scannerNone, scannerGuardDuty, scannerClamd),
		ClamdAddress:        r.match(keyClamdAddress, "", regexp.MustCompile(`^[^\s:/]+:\d{1,5}$`), "the host and port of clamd, such as clamd.internal:3310"),
		ClamdMaxMiB:         r.number(keyClamdMaxMiB, 100, 1, 2047),
		ClamdSubnets:        r.list(keyClamdSubnets, "", regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`), "subnet ids"),
		ClamdSecurityGroups: r.list(keyClamdSecurityGroups, "", regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`), "security group ids"),
	}
	if (s.Scanner == scannerClamd) != (s.ClamdAddress != "") {
		r.refuse(keyClamdAddress, s.ClamdAddress, fmt.Sprintf("set it together with %s=%s", keyScanner, scannerClamd))
	}
	if (len(s.ClamdSubnets) == 0) != (len(s.ClamdSecurityGroups) == 0) {
		r.refuse(keyClamdSubnets, fmt.Sprint(s.ClamdSubnets), fmt.Sprintf("set it together with %s", keyClamdSecurityGroups))
	}
	return s
}

// addScanning makes the queue of verdicts, on which s3-ingest acts, and the scanner that
// was chosen. Without one there is nothing of this, and ingest publishes what it has
// verified.
func (s *Service) addScanning() {
	scanner := s.settings.Scanning.Scanner
	if scanner == scannerNone {
		return
	}
	s.verdicts = patterns.NewIngestQueue(s.Stack, jsii.String("Verdicts"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(ingestTimeout)),
		RemovalPolicy:   s.settings.Stage.RemovalPolicy(),
	})
	patterns.NewQueueFunction(s.Stack, jsii.String("VerdictsMapping"), &patterns.QueueFunctionProps{
		Function:       s.Ingest,
		MaxConcurrency: jsii.Number(s.settings.IngestConcurrency),
		Queue:          s.verdicts,
	})
	// What is infected gives back the path that it owned in quarantine.
	s.data.Catalog.Grant(s.Ingest.Role(), "dynamodb:DeleteItem")
	s.Ingest.SetEnvironment("STOWAGE_SCANNER", jsii.String(scanner))
	s.Ingest.SetEnvironment("STOWAGE_VERDICT_QUEUE_ARN", s.verdicts.Queue().QueueArn())
	if scanner == scannerGuardDuty {
		s.addGuardDuty()
	} else {
		s.addClamd()
	}
	output(s.Stack, "VerdictDeadLetterQueue", "Queue of the verdicts that were given up", s.verdicts.DeadLetters().QueueUrl())
}

// addGuardDuty has GuardDuty scan what is uploaded. Its verdicts come by the account's
// default bus, where no other service can pretend to be it.
func (s *Service) addGuardDuty() {
	patterns.NewMalwareProtection(s.Stack, jsii.String("MalwareProtection"), &patterns.MalwareProtectionProps{
		Bucket: s.data.Content, Prefix: jsii.String(objectPrefix),
	})
	patterns.NewQueueRule(s.Stack, jsii.String("VerdictsSaid"), &patterns.QueueRuleProps{
		Description: jsii.String("Stowage: what GuardDuty says of uploads"),
		Pattern: &awsevents.EventPattern{
			Source:     jsii.Strings(guarddutyscan.Source),
			DetailType: jsii.Strings(guarddutyscan.DetailType),
			Detail: &map[string]interface{}{
				"s3ObjectDetails": map[string]interface{}{"bucketName": []*string{s.data.Content.Bucket().BucketName()}},
			},
		},
		Queue: s.verdicts,
	})
}

// addClamd makes the function that has clamd look at what is uploaded, and its queue. It
// reads the quarantine and says what was found; it lets nothing out. It holds one chunk at
// a time: 512 MB is for what of a vCPU comes with it.
func (s *Service) addClamd() {
	settings := s.settings.Scanning
	s.scans = patterns.NewIngestQueue(s.Stack, jsii.String("Scans"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(scanTimeout)),
		RemovalPolicy:   s.settings.Stage.RemovalPolicy(),
	})
	s.Scanner = s.addFunction("MalwareScanner", fnScanner, functionProps{
		description: "Stowage: has clamd look at what was uploaded",
		memoryMB:    512,
		timeout:     scanTimeout,
		environment: map[string]*string{
			"STOWAGE_BUCKET":             s.data.Content.Bucket().BucketName(),
			"STOWAGE_DEAD_LETTER_BUCKET": s.data.DeadLetters.Bucket().BucketName(),
			"STOWAGE_VERDICT_QUEUE_URL":  s.verdicts.Queue().QueueUrl(),
			"STOWAGE_CLAMD_ADDRESS":      jsii.String(settings.ClamdAddress),
			"STOWAGE_CLAMD_MAX_BYTES":    jsii.String(strconv.Itoa(settings.ClamdMaxMiB << 20)),
		},
		roleTags: map[string]*string{patterns.QuarantineRoleTag: jsii.String(patterns.QuarantineReader)},
	})
	role := s.Scanner.Role()
	s.data.Content.GrantScan(role, objectPrefix)
	s.data.DeadLetters.GrantWrite(role)
	s.verdicts.GrantSend(role)
	patterns.NewQueueFunction(s.Stack, jsii.String("ScansMapping"), &patterns.QueueFunctionProps{
		BatchSize:      jsii.Number(1),
		Function:       s.Scanner,
		MaxConcurrency: jsii.Number(scanConcurrency),
		Queue:          s.scans,
	})
	s.scans.GrantSend(s.Ingest.Role())
	s.Ingest.SetEnvironment("STOWAGE_SCAN_QUEUE_URL", s.scans.Queue().QueueUrl())
	if len(settings.ClamdSubnets) > 0 {
		s.joinNetwork(s.Scanner, settings.ClamdSubnets, settings.ClamdSecurityGroups)
	}
	output(s.Stack, "ScanDeadLetterQueue", "Queue of the scans that were given up", s.scans.DeadLetters().QueueUrl())
}

// joinNetwork puts a function into subnets that exist, from which it reaches clamd; S3 and
// SQS it reaches by what these subnets have for that.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
func (s *Service) joinNetwork(f *patterns.Function, subnets, groups []string) {
	actions := []string{
		"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
		"ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
	}
	grant := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions: jsii.Strings(actions...), Grantee: f.Role(), ResourceArns: jsii.Strings("*"),
	})
	patterns.ExplainUnused(f.Role(), jsii.String("*"), "Lambda alone makes network interfaces with it", actions...)
	function := f.Function().Node().DefaultChild().(awslambda.CfnFunction)
	function.SetVpcConfig(&awslambda.CfnFunction_VpcConfigProperty{SubnetIds: jsii.Strings(subnets...), SecurityGroupIds: jsii.Strings(groups...)})
	grant.ApplyBefore(function)
}

// addScanningAlarms watches for what stays in quarantine.
func (s *Service) addScanningAlarms() {
	if s.verdicts == nil {
		return
	}
	s.watch("VerdictDeadLetters", "Verdicts of the malware scanner were given up: read the message in the dead-letter queue and redrive it",
		s.verdicts.MetricDeadLetters(), 1)
	s.watch("ScanInconclusive", "The malware scanner came to no verdict, and objects stay in quarantine: read the log of S3Ingest for \"no verdict\", and docs/runbooks/scanning.md",
		s.ingested("ScanInconclusive"), 1)
	s.watch("ScanMalwareInAvailable", "Malware was found in an object that is available: read the log of S3Ingest, and delete the object",
		s.ingested("ScanMalwareInAvailable"), 1)
	s.watch("SweepUnscannedUploads", "Objects have waited long for the malware scanner: is it there? See docs/runbooks/scanning.md",
		s.swept("SweepUnscannedUploads"), 1)
	if s.scans == nil {
		return
	}
	s.watch("ScanDeadLetters", "Scans were given up: see that clamd answers, and redrive them",
		s.scans.MetricDeadLetters(), 1)
	s.watch("MalwareScannerDeadLetters", "MalwareScanner gave records up: they are in the dead-letter bucket below dead/, with the reason",
		deadLettered(s.Scanner), 1)
}

// ingested is a count that s3-ingest itself reports, over a minute.
func (s *Service) ingested(name string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"function": s.Ingest.Function().FunctionName()},
		MetricName:    jsii.String(name),
		Namespace:     jsii.String("Stowage"),
		Period:        awscdk.Duration_Minutes(jsii.Number(1)),
		Statistic:     jsii.String("Sum"),
	})
}
