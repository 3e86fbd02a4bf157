package stacks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFunctionsRunAsTheyAreBuilt(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			service := d.service
			environments := map[string][]string{
				"UploadApi":        {"STOWAGE_BUCKET", "STOWAGE_COMPLETION_QUEUE_URL", "STOWAGE_CURSOR_SECRET_ARN", "STOWAGE_IDEMPOTENCY_TABLE", "STOWAGE_LOG_LEVEL", "STOWAGE_SIGNER_ROLE_ARN", "STOWAGE_STAGE", "STOWAGE_TABLE"},
				"S3Ingest":         {"STOWAGE_BUCKET", "STOWAGE_DEAD_LETTER_BUCKET", "STOWAGE_LOG_LEVEL", "STOWAGE_STAGE", "STOWAGE_TABLE"},
				"UploadCompleter":  {"STOWAGE_BUCKET", "STOWAGE_DEAD_LETTER_BUCKET", "STOWAGE_LOG_LEVEL", "STOWAGE_STAGE", "STOWAGE_TABLE"},
				"UploadSweeper":    sweeperEnvironment(d.stage),
				"ImageDerivatives": {"GOMEMLIMIT", "STOWAGE_BUCKET", "STOWAGE_DEAD_LETTER_BUCKET", "STOWAGE_LOG_LEVEL", "STOWAGE_STAGE", "STOWAGE_TABLE"},
				"StreamFanout":     {"STOWAGE_BUS", "STOWAGE_DEAD_LETTER_BUCKET", "STOWAGE_HOME_REGION", "STOWAGE_LOG_LEVEL", "STOWAGE_STAGE"},
				"TokenClaims":      {"STOWAGE_LOG_LEVEL", "STOWAGE_STAGE", "STOWAGE_TABLE"},
			}
			for id, variables := range environments {
				function := service.one(t, "Service/"+id+"/Default/Resource")
				function.want(t, map[string]any{
					"Architectures":      []string{"arm64"},
					"Handler":            "bootstrap",
					"Runtime":            "provided.al2023",
					"TracingConfig.Mode": "Active",
				})
				var got []string
				for variable := range function.property("Environment.Variables").(map[string]any) {
					got = append(got, variable)
				}
				slices.Sort(got)
				if diff := cmp.Diff(variables, got); diff != "" {
					t.Errorf("%s, environment:\n%s", id, diff)
				}
				if function.property("ReservedConcurrentExecutions") != nil {
					t.Errorf("%s reserves concurrency, which new accounts refuse", id)
				}
				if !refersTo(function.property("LoggingConfig.LogGroup"), service.one(t, "Service/"+id+"/Logs/Resource").id) {
					t.Errorf("%s logs to %v", id, function.property("LoggingConfig"))
				}
			}
			if n := len(service.all("AWS::Lambda::Function")); n != len(environments) {
				t.Errorf("%d functions, want %d", n, len(environments))
			}
			for _, group := range service.all("AWS::Logs::LogGroup") {
				if group.property("RetentionInDays") == nil {
					t.Errorf("%s keeps its logs for ever", group.path())
				}
			}
			// Cognito gives a trigger 5 seconds, API Gateway an integration 30.
			service.one(t, "Service/TokenClaims/Default/Resource").want(t, map[string]any{"Timeout": 5})
			if timeout := service.one(t, "Service/UploadApi/Default/Resource").property("Timeout").(float64); timeout >= 30 {
				t.Errorf("the API's function may take %v s, longer than its caller waits", timeout)
			}
		})
	}
}

// TestRolesAllowWhatIsCalledAndNothingElse holds invariant 8: the roles allow these actions and no others.
func TestRolesAllowWhatIsCalledAndNothingElse(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			service := d.service
			own := []string{"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}
			want := map[string][]string{
				"Service/UploadApi/Role/DefaultPolicy/Resource": append([]string{
					"dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem",
					"dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem", "kms:Decrypt",
					"secretsmanager:GetSecretValue", "sqs:SendMessage",
				}, own...),
				"Service/S3Ingest/Role/DefaultPolicy/Resource": append([]string{
					"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem",
					"kms:Decrypt", "kms:GenerateDataKey",
					"s3:DeleteObjectVersion", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions", "s3:PutObject", "s3:PutObjectVersionTagging",
					"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
				}, own...),
				"Service/StreamFanout/Role/DefaultPolicy/Resource": append([]string{
					"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
					"events:PutEvents", "kms:Decrypt", "kms:GenerateDataKey", "s3:ListBucket", "s3:PutObject",
				}, own...),
				"Service/TokenClaims/Role/DefaultPolicy/Resource":   append([]string{"dynamodb:Query", "kms:Decrypt"}, own...),
				"Service/Signer/DefaultPolicy/Resource":             {"kms:Decrypt", "kms:GenerateDataKey", "s3:AbortMultipartUpload", "s3:DeleteObjectVersion", "s3:GetObjectVersion", "s3:ListBucketVersions", "s3:ListMultipartUploadParts", "s3:PutObject"},
				"Service/UploadSweeper/Role/DefaultPolicy/Resource": append(sweeperActions(d.stage), own...),
				"Service/ImageDerivatives/Role/DefaultPolicy/Resource": append([]string{
					"dynamodb:GetItem", "dynamodb:PutItem", "kms:Decrypt", "kms:GenerateDataKey",
					"s3:DeleteObjectVersion", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectTagging",
					"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
				}, own...),
				"Service/UploadCompleter/Role/DefaultPolicy/Resource": append([]string{
					"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "kms:Decrypt", "kms:GenerateDataKey",
					"s3:ListBucketVersions", "s3:ListMultipartUploadParts", "s3:PutObject",
					"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
				}, own...),
			}
			got := map[string][]string{}
			for _, policy := range service.all("AWS::IAM::Policy") {
				var actions []string
				for _, statement := range statements(policy.property("PolicyDocument")) {
					actions = append(actions, texts(statement["Action"])...)
					testStatement(t, policy.path(), statement)
				}
				slices.Sort(actions)
				got[policy.path()] = slices.Compact(actions)
			}
			for path := range want {
				slices.Sort(want[path])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, role := range service.all("AWS::IAM::Role") {
				if managed := role.property("ManagedPolicyArns"); managed != nil {
					t.Errorf("%s has the managed policies %v", role.path(), managed)
				}
			}

			signer := service.one(t, "Service/Signer/Resource")
			signer.want(t, map[string]any{"MaxSessionDuration": 3600})
			trust := statements(signer.property("AssumeRolePolicyDocument"))
			if len(trust) != 1 || !refersTo(trust[0]["Principal"], service.one(t, "Service/UploadApi/Role/Resource").id) {
				t.Errorf("the signer trusts %v", trust)
			}
		})
	}
}

func testStatement(t *testing.T, path string, statement map[string]any) {
	t.Helper()
	actions := texts(statement["Action"])
	for _, action := range actions {
		if strings.Contains(action, "*") {
			t.Errorf("%s allows %s", path, action)
		}
		if strings.HasPrefix(action, "kms:") && !strings.Contains(fmt.Sprint(statement["Condition"]), "kms:ViaService") {
			t.Errorf("%s allows %s without a service between", path, action)
		}
	}
	if statement["Resource"] == "*" && !strings.HasPrefix(actions[0], "xray:") {
		t.Errorf("%s allows %v on everything", path, actions)
	}
}

func TestEveryRouteWantsAToken(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			service := d.service
			authorizer := service.one(t, "Service/Api/Default/Jwt/Resource")
			authorizer.want(t, map[string]any{"AuthorizerType": "JWT", "IdentitySource": []string{"$request.header.Authorization"}})
			pool := service.one(t, "Service/Users/Default/Resource")
			if !refersTo(authorizer.property("JwtConfiguration.Issuer"), pool.id) {
				t.Errorf("tokens are issued by %v", authorizer.property("JwtConfiguration.Issuer"))
			}
			for _, client := range service.all("AWS::Cognito::UserPoolClient") {
				if !refersTo(authorizer.property("JwtConfiguration.Audience"), client.id) {
					t.Errorf("tokens of %s are refused", client.path())
				}
			}
			for _, route := range service.all("AWS::ApiGatewayV2::Route") {
				route.want(t, map[string]any{"AuthorizationType": "JWT", "AuthorizerId": map[string]string{"Ref": authorizer.id}})
				if key := fmt.Sprint(route.property("RouteKey")); strings.HasPrefix(key, "ANY") || key == "$default" {
					t.Errorf("route %s catches preflight requests and asks them for a token", key)
				}
			}
			service.one(t, "Service/Api/Stage/Resource").want(t, map[string]any{
				"AutoDeploy":           true,
				"StageName":            "$default",
				"DefaultRouteSettings": map[string]any{"DetailedMetricsEnabled": true, "ThrottlingBurstLimit": 2000, "ThrottlingRateLimit": 1000},
			})
			format := fmt.Sprint(service.one(t, "Service/Api/Stage/Resource").property("AccessLogSettings.Format"))
			for _, want := range []string{"$context.requestId", "$context.status", "$context.authorizer.error"} {
				if !strings.Contains(format, want) {
					t.Errorf("the access log lacks %s", want)
				}
			}
		})
	}
}

func TestUserPoolGivesPeopleAndProgramsTokens(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			service := d.service
			pool := service.one(t, "Service/Users/Default/Resource")
			pool.want(t, map[string]any{
				"UserPoolTier":     "ESSENTIALS",
				"MfaConfiguration": "ON",
				"AdminCreateUserConfig.AllowAdminCreateUserOnly":             true,
				"LambdaConfig.PreTokenGenerationConfig.LambdaVersion":        "V3_0",
				"LambdaConfig.PreTokenGenerationConfig.LambdaArn.Fn::GetAtt": []string{service.one(t, "Service/TokenClaims/Default/Resource").id, "Arn"},
			})
			server := service.one(t, "Service/Users/Default/ResourceServer/Resource")
			var scopes []string
			for _, scope := range server.property("Scopes").([]any) {
				scopes = append(scopes, scope.(map[string]any)["ScopeName"].(string))
			}
			if diff := cmp.Diff([]string{"read", "write", "admin", "billing"}, scopes); diff != "" || server.property("Identifier") != "stowage" {
				t.Errorf("scopes of %v:\n%s", server.property("Identifier"), diff)
			}
			service.one(t, "Service/Users/Default/People/Resource").want(t, map[string]any{
				"AllowedOAuthFlows": []string{"code"}, "GenerateSecret": false, "EnableTokenRevocation": true,
				"ExplicitAuthFlows": []string{"ALLOW_REFRESH_TOKEN_AUTH"},
			})
			service.one(t, "Service/Users/Default/Machines/Resource").want(t, map[string]any{
				"AllowedOAuthFlows": []string{"client_credentials"}, "GenerateSecret": true,
			})
		})
	}
}

func TestAnotherIssuerReplacesTheUserPool(t *testing.T) {
	service := synthesize(t, map[string]any{"issuer": "https://login.example.com/", "audience": "stowage, other"}).service
	service.one(t, "Service/Api/Default/Jwt/Resource").want(t, map[string]any{
		"JwtConfiguration": map[string]any{"Issuer": "https://login.example.com/", "Audience": []string{"stowage", "other"}},
	})
	for _, r := range service.all("") {
		if strings.HasPrefix(r.kind, "AWS::Cognito") || strings.Contains(r.path(), "TokenClaims") {
			t.Errorf("%s (%s) is left", r.path(), r.kind)
		}
	}
}

func TestWithoutOriginsNoPageMayCall(t *testing.T) {
	d := synthesize(t, map[string]any{"stage": "prod"})
	if cors := d.service.one(t, "Service/Api/Default/Resource").property("CorsConfiguration"); cors != nil {
		t.Errorf("the API lets in %v", cors)
	}
	if cors := d.data.one(t, "Data/Content/Default/Resource").property("CorsConfiguration"); cors != nil {
		t.Errorf("the bucket lets in %v", cors)
	}

	d = synthesize(t, map[string]any{"stage": "prod", "origins": "https://app.example.com"})
	d.service.one(t, "Service/Api/Default/Resource").want(t, map[string]any{
		"CorsConfiguration.AllowOrigins": []string{"https://app.example.com"},
		"CorsConfiguration.AllowHeaders": []string{"authorization", "content-type", "idempotency-key", "if-match", "stowage-workspace"},
	})
	d.data.one(t, "Data/Content/Default/Resource").want(t, map[string]any{
		"CorsConfiguration.CorsRules.0.AllowedOrigins": []string{"https://app.example.com"},
		"CorsConfiguration.CorsRules.0.AllowedHeaders": []string{"content-type", "if-none-match", "range", "x-amz-checksum-*", "x-amz-sdk-checksum-algorithm"},
		"CorsConfiguration.CorsRules.0.ExposedHeaders": []string{"ETag", "x-amz-version-id", "x-amz-checksum-sha256", "x-amz-checksum-crc64nvme", "x-amz-checksum-type"},
	})
}
