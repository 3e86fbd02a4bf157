package stacks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/catalog"
)

func TestContentIsKeptSafe(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			data := d.data
			content := data.one(t, "Data/Content/Default/Resource")
			content.want(t, map[string]any{
				"VersioningConfiguration.Status":                                                                  "Enabled",
				"BucketEncryption.ServerSideEncryptionConfiguration.0.BucketKeyEnabled":                           true,
				"BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.SSEAlgorithm": "aws:kms",
				"PublicAccessBlockConfiguration": map[string]bool{
					"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
				},
				"OwnershipControls.Rules.0.ObjectOwnership":                                 "BucketOwnerEnforced",
				"LoggingConfiguration.LogFilePrefix":                                        "content/",
				"LifecycleConfiguration.Rules.0.AbortIncompleteMultipartUpload":             map[string]int{"DaysAfterInitiation": 7},
				"LifecycleConfiguration.Rules.1.Transitions.0":                              map[string]any{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 0},
				"LifecycleConfiguration.Rules.2.NoncurrentVersionExpiration.NoncurrentDays": content.property("LifecycleConfiguration.Rules.2.NoncurrentVersionExpiration.NoncurrentDays"),
			})
			if content.property("LifecycleConfiguration.Rules.2.NoncurrentVersionExpiration.NoncurrentDays") == nil {
				t.Error("noncurrent versions never expire")
			}

			for _, bucket := range data.all("AWS::S3::Bucket") {
				if bucket.property("PublicAccessBlockConfiguration.BlockPublicPolicy") != true {
					t.Errorf("%s is not closed to the public", bucket.path())
				}
			}
			for _, key := range data.all("AWS::KMS::Key") {
				key.want(t, map[string]any{"EnableKeyRotation": true})
			}
		})
	}
}

func TestTablesAreThoseTheCatalogDeclares(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			data := d.data
			for id, want := range map[string]catalog.Table{"Catalog": catalog.MainTable(), "Idempotency": catalog.IdempotencyTable()} {
				table := data.one(t, "Data/"+id+"/Default/Resource")
				keys := []map[string]string{{"AttributeName": want.PartitionKey.Name, "KeyType": "HASH"}}
				if want.SortKey != nil {
					keys = append(keys, map[string]string{"AttributeName": want.SortKey.Name, "KeyType": "RANGE"})
				}
				var indexes []map[string]any
				for _, index := range want.Indexes {
					indexes = append(indexes, map[string]any{
						"IndexName": index.Name,
						"KeySchema": []map[string]string{
							{"AttributeName": index.PartitionKey.Name, "KeyType": "HASH"},
							{"AttributeName": index.SortKey.Name, "KeyType": "RANGE"},
						},
						"Projection": map[string]string{"ProjectionType": string(index.Projection)},
					})
				}
				var stream any
				if want.Stream != "" {
					stream = map[string]string{"StreamViewType": string(want.Stream)}
				}
				table.want(t, map[string]any{
					"BillingMode":             "PAY_PER_REQUEST",
					"GlobalSecondaryIndexes":  indexes,
					"KeySchema":               keys,
					"SSESpecification":        map[string]any{"SSEEnabled": true, "SSEType": "KMS"},
					"StreamSpecification":     stream,
					"TimeToLiveSpecification": map[string]any{"AttributeName": want.TTL, "Enabled": true},
					"Replicas.0.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled": true,
				})
				if !refersTo(table.property("Replicas.0.SSESpecification.KMSMasterKeyId"), data.one(t, "Data/CatalogKey/Resource").id) {
					t.Errorf("%s is not encrypted by the catalog's key", id)
				}
			}
		})
	}
}

func TestUploadsAreToldThroughAQueueThatOutlivesItsFunction(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			data, service := d.data, d.service
			queue := data.one(t, "Data/Ingest/Default/Resource")
			function := service.one(t, "Service/S3Ingest/Default/Resource")
			if visible, timeout := queue.property("VisibilityTimeout").(float64), function.property("Timeout").(float64); visible < 6*timeout {
				t.Errorf("visibility time-out %v s is under six times the function's %v s", visible, timeout)
			}
			letters := data.one(t, "Data/Ingest/DeadLetters/Resource")
			if !refersTo(queue.property("RedrivePolicy.deadLetterTargetArn"), letters.id) {
				t.Errorf("the queue's dead letters go to %v", queue.property("RedrivePolicy"))
			}
			queue.want(t, map[string]any{"SqsManagedSseEnabled": true, "RedrivePolicy.maxReceiveCount": 5})
			letters.want(t, map[string]any{"SqsManagedSseEnabled": true, "MessageRetentionPeriod": 14 * 24 * 60 * 60})

			notifications := data.one(t, "Data/Content/Default/Notifications/Resource")
			notifications.want(t, map[string]any{
				"NotificationConfiguration.EventBridgeConfiguration":                             map[string]any{},
				"NotificationConfiguration.QueueConfigurations.0.Events":                         []string{"s3:ObjectCreated:*"},
				"NotificationConfiguration.QueueConfigurations.0.Filter.Key.FilterRules.0.Value": "c/",
			})
			told := fmt.Sprint(notifications.property("NotificationConfiguration.QueueConfigurations"))
			for _, event := range []string{"s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:LifecycleTransition", "s3:ObjectRestore:Completed"} {
				if !strings.Contains(told, event) {
					t.Errorf("ingest is not told of %s", event)
				}
			}
			service.one(t, "Service/IngestMapping/Resource").want(t, map[string]any{
				"BatchSize":                        10,
				"FunctionResponseTypes":            []string{"ReportBatchItemFailures"},
				"ScalingConfig.MaximumConcurrency": 20,
			})
		})
	}
}

func TestStreamMappingIsBounded(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			service := d.service
			mapping := service.one(t, "Service/FanoutMapping/Resource")
			mapping.want(t, map[string]any{
				"BisectBatchOnFunctionError":       true,
				"FilterCriteria.Filters.0.Pattern": `{"dynamodb":{"Keys":{"sk":{"S":["OBJECT"]}}}}`,
				"FunctionResponseTypes":            []string{"ReportBatchItemFailures"},
				"MaximumRecordAgeInSeconds":        12 * 60 * 60,
				"MaximumRetryAttempts":             10,
				"StartingPosition":                 "TRIM_HORIZON",
			})
			if mapping.property("DestinationConfig.OnFailure.Destination.Fn::ImportValue") == nil {
				t.Errorf("records that are given up go to %v", mapping.property("DestinationConfig"))
			}
		})
	}
}

func TestBusHasAnArchive(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			data := d.data
			archive := data.one(t, "Data/Events/Archive/Archive")
			if !refersTo(archive.property("SourceArn"), data.one(t, "Data/Events/Default/Resource").id) {
				t.Errorf("the archive is of %v", archive.property("SourceArn"))
			}
			archive.want(t, map[string]any{"EventPattern": map[string]any{"source": []string{"stowage"}}})
			if rules := data.all("AWS::Events::Rule"); len(rules) > 0 {
				t.Errorf("the core has rules: %v", rules)
			}
		})
	}
}

// TestNothingIsReadableBeforeItIsVerified holds invariant 1: what was not verified cannot be read, and
// verdicts are written by ingest alone.
func TestNothingIsReadableBeforeItIsVerified(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			data, service := d.data, d.service
			policy := data.one(t, "Data/Content/Default/Policy/Resource")
			bySid := map[string]map[string]any{}
			for _, statement := range statements(policy.property("PolicyDocument")) {
				if sid, ok := statement["Sid"].(string); ok {
					bySid[sid] = statement
				}
				if statement["Effect"] == "Allow" {
					t.Errorf("the bucket's policy allows %v", statement)
				}
			}
			want := map[string]struct {
				actions    []string
				conditions map[string]any
			}{
				"DenyReadBeforeVerified": {
					[]string{"s3:GetObject", "s3:GetObjectVersion"},
					map[string]any{"StringNotEquals": map[string]any{
						"s3:ExistingObjectTag/stowage":        "available",
						"aws:PrincipalTag/stowage-quarantine": []string{"reader", "writer"},
					}},
				},
				"DenyVerdictsByOthers": {
					[]string{"s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"},
					map[string]any{"StringNotEquals": map[string]any{"aws:PrincipalTag/stowage-quarantine": "writer"}},
				},
				"DenyPutWithTags": {
					[]string{"s3:PutObject"},
					map[string]any{
						"Null":            map[string]any{"s3:RequestObjectTagKeys": "false"},
						"StringNotEquals": map[string]any{"aws:PrincipalTag/stowage-quarantine": "writer"},
					},
				},
			}
			for sid, w := range want {
				statement := bySid[sid]
				if statement == nil {
					t.Errorf("no statement %s", sid)
					continue
				}
				if diff := cmp.Diff(w.actions, texts(statement["Action"])); diff != "" {
					t.Errorf("%s, actions:\n%s", sid, diff)
				}
				if diff := cmp.Diff(asJSON(t, w.conditions), statement["Condition"]); diff != "" {
					t.Errorf("%s, conditions:\n%s", sid, diff)
				}
				if diff := cmp.Diff(map[string]any{"AWS": "*"}, statement["Principal"]); diff != "" || statement["Effect"] != "Deny" {
					t.Errorf("%s does not deny everybody: %v", sid, statement)
				}
			}
			for _, role := range service.all("AWS::IAM::Role") {
				tags, _ := role.property("Tags").([]any)
				writer := len(tags) > 0
				// The one passes verdicts, the other writes what it made of verified bytes.
				if trusted := slices.Contains([]string{"Service/S3Ingest/Role/Resource", "Service/ImageDerivatives/Role/Resource"}, role.path()); writer != trusted {
					t.Errorf("%s has the tags %v", role.path(), tags)
				}
			}
			service.one(t, "Service/S3Ingest/Role/Resource").want(t, map[string]any{
				"Tags": []map[string]string{{"Key": "stowage-quarantine", "Value": "writer"}},
			})
		})
	}
}
