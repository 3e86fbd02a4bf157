package assembly_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

func environment() assembly.Environment {
	return assembly.Environment{
		GatewayURL:  "http://127.0.0.1:4566",
		APIEndpoint: func(string, string) (string, error) { return "http://127.0.0.1:8080", nil },
	}
}

// TestRealAssembly resolves what CDK writes for an app with all the resource
// types that Stowage declares.
func TestRealAssembly(t *testing.T) {
	a, err := assembly.Load("testdata/app")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stowage-dev-data", "Service"}, a.Stacks()); diff != "" {
		t.Errorf("deployment order (-want +got):\n%s", diff)
	}
	resources, err := a.Resolve(environment())
	if err != nil {
		t.Fatal(err)
	}
	fn := find(t, resources, "ApiF70053CD")
	env := fn.Properties["Environment"].(map[string]any)["Variables"].(map[string]any)
	want := map[string]any{
		"BUCKET": "stowage-dev-data-content",
		"BUS":    "DataBus3FDBCE27",
		"QUEUE":  "http://127.0.0.1:4566/000000000000/stowage-dev-data-Ingest",
		"TABLE":  "stowage-dev-data-Catalog",
		"SECRET": find(t, resources, "CursorDFF99BBD").Ref,
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("the function's environment (-want +got):\n%s", diff)
	}
	if fn.Name != "Service-Api" || fn.ConstructPath != "Service/Api/Resource" {
		t.Errorf("function is called %q at %q", fn.Name, fn.ConstructPath)
	}
	if _, err := os.Stat(filepath.Join(fn.AssetDir, "bootstrap")); err != nil {
		t.Errorf("the function's asset: %v", err)
	}
	rule := find(t, resources, "Rule4C995B7F")
	if want := "arn:aws:events:us-east-1:000000000000:rule/DataBus3FDBCE27/Service-Rule"; rule.Attributes["Arn"] != want {
		t.Errorf("rule's ARN = %s, want %s", rule.Attributes["Arn"], want)
	}
	alarm := find(t, resources, "Any9F5837F9")
	if want := `(ALARM("arn:aws:cloudwatch:us-east-1:000000000000:alarm:Service-DlqDepth"))`; alarm.Properties["AlarmRule"] != want {
		t.Errorf("composite alarm's rule = %s, want %s", alarm.Properties["AlarmRule"], want)
	}
	if left := leftovers(resources); left != "" {
		t.Errorf("an intrinsic is left in %s", left)
	}
}

func TestNamesStayTheSame(t *testing.T) {
	var runs [2][]assembly.Resource
	for i := range runs {
		a, err := assembly.Load("testdata/app")
		if err != nil {
			t.Fatal(err)
		}
		if runs[i], err = a.Resolve(environment()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}

func TestIntrinsics(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"ref of a parameter", `{"Ref":"Stage"}`, `"dev"`},
		{"ref of a number parameter", `{"Ref":"Days"}`, `"30"`},
		{"ref of a list parameter", `{"Ref":"Zones"}`, `["a","b"]`},
		{"ref of a resource", `{"Ref":"Queue"}`, `"http://127.0.0.1:4566/000000000000/App-Queue"`},
		{"pseudo parameters", `{"Fn::Join":["|",[{"Ref":"AWS::AccountId"},{"Ref":"AWS::Region"},{"Ref":"AWS::Partition"},{"Ref":"AWS::URLSuffix"},{"Ref":"AWS::StackName"}]]}`, `"000000000000|us-east-1|aws|amazonaws.com|App"`},
		{"get an attribute by list", `{"Fn::GetAtt":["Queue","Arn"]}`, `"arn:aws:sqs:us-east-1:000000000000:App-Queue"`},
		{"get an attribute by text", `{"Fn::GetAtt":"Queue.QueueName"}`, `"App-Queue"`},
		{"sub", `{"Fn::Sub":"${AWS::Region}/${Queue.QueueName}/${Stage}/${!Kept}"}`, `"us-east-1/App-Queue/dev/${Kept}"`},
		{"sub with variables", `{"Fn::Sub":["${a}-${Stage}",{"a":{"Ref":"Days"}}]}`, `"30-dev"`},
		{"join nothing", `{"Fn::Join":["",[]]}`, `""`},
		{"join numbers", `{"Fn::Join":[":",[1,true,"x"]]}`, `"1:true:x"`},
		{"select of split", `{"Fn::Select":[1,{"Fn::Split":["/","a/b/c"]}]}`, `"b"`},
		{"select by text", `{"Fn::Select":["0",["a"]]}`, `"a"`},
		{"base64", `{"Fn::Base64":"x"}`, `"eA=="`},
		{"find in map", `{"Fn::FindInMap":["Sizes",{"Ref":"Stage"},"memory"]}`, `512`},
		{"if taken", `{"Fn::If":["IsDev","yes","no"]}`, `"yes"`},
		{"if not taken, the other branch is not looked at", `{"Fn::If":["IsProd",{"Ref":"Nowhere"},"no"]}`, `"no"`},
		{"no value in a list", `["a",{"Ref":"AWS::NoValue"},"b"]`, `["a","b"]`},
		{"no value in a map", `{"a":1,"b":{"Ref":"AWS::NoValue"}}`, `{"a":1}`},
		{"big numbers stay exact", `{"n":12345678901234567890}`, `{"n":12345678901234567890}`},
		{"a map with one ordinary key", `{"Value":{"Ref":"Stage"}}`, `{"Value":"dev"}`},
		{"import from another stack", `{"Fn::ImportValue":{"Fn::Sub":"Base:${Stage}"}}`, `"arn:aws:sqs:us-east-1:000000000000:Base-Source"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resources, err := resolve(t, twoStacks(tc.value))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(find(t, resources, "Subject").Properties["DashboardBody"])
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	for expr, want := range map[string]bool{
		`{"Fn::Equals":[{"Ref":"Stage"},"dev"]}`:                         true,
		`{"Fn::Equals":["1",1]}`:                                         true,
		`{"Fn::Not":[{"Condition":"IsDev"}]}`:                            false,
		`{"Fn::And":[{"Condition":"IsDev"},{"Condition":"IsProd"}]}`:     false,
		`{"Fn::Or":[{"Condition":"IsDev"},{"Condition":"IsProd"}]}`:      true,
		`{"Fn::Not":[{"Fn::Or":[{"Condition":"IsProd"}]}]}`:              true,
		`{"Condition":"IsDev"}`:                                          true,
		`{"Fn::And":[{"Condition":"IsDev"},{"Fn::Equals":["a","b"]}]}`:   false,
		`{"Fn::Or":[{"Fn::Equals":["a","b"]},{"Fn::Equals":["a","a"]}]}`: true,
	} {
		t.Run(expr, func(t *testing.T) {
			stacks := twoStacks(`"x"`)
			stacks["App"] = strings.Replace(stacks["App"], `"Conditions":{`, `"Conditions":{"Asked":`+expr+`,`, 1)
			stacks["App"] = strings.Replace(stacks["App"], `"Subject":{`, `"Subject":{"Condition":"Asked",`, 1)
			resources, err := resolve(t, stacks)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.ContainsFunc(resources, func(r assembly.Resource) bool { return r.LogicalID == "Subject" })
			if got != want {
				t.Errorf("resource present: %t, want %t", got, want)
			}
		})
	}
}

func TestUnknownIsNamed(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"intrinsic", `{"Fn::Cidr":""}`, "stack App, resource Subject (AWS::CloudWatch::Dashboard): DashboardBody: Fn::Cidr: the local runtime does not know this intrinsic function"},
		{"attribute", `{"Fn::GetAtt":["Queue","Color"]}`, "does not know attribute Color of Queue (AWS::SQS::Queue)"},
		{"pseudo parameter", `{"Ref":"AWS::Weather"}`, "AWS::Weather: the local runtime does not know this pseudo parameter"},
		{"reference", `{"Ref":"Nowhere"}`, "Nowhere is neither a resource nor a parameter of this stack"},
		{"reference in a sub", `{"Fn::Sub":"${Nowhere.Arn}"}`, "${Nowhere.Arn}: Nowhere is neither"},
		{"parameter without default", `{"Ref":"Asked"}`, "parameter Asked has no default"},
		{"parameter from SSM", `{"Ref":"FromSSM"}`, "takes its value from the SSM parameter /a/b"},
		{"bootstrap version", `{"Ref":"BootstrapVersion"}`, "nothing is bootstrapped"},
		{"export", `{"Fn::ImportValue":"Base:nothing"}`, `no stack exports "Base:nothing"`},
		{"mapping entry", `{"Fn::FindInMap":["Sizes","test","memory"]}`, "mapping Sizes has no entry test, memory"},
		{"condition", `{"Fn::If":["IsMonday","a","b"]}`, "condition IsMonday is not declared"},
		{"condition function outside", `{"Fn::Equals":["a","a"]}`, "which only the Conditions section may call"},
		{"dynamic reference", `"{{resolve:ssm:/a}}"`, "is not supported"},
		{"select beyond the end", `{"Fn::Select":[2,["a","b"]]}`, "index 2 is outside a list of 2"},
		{"select before the start", `{"Fn::Select":[-1,["a","b"]]}`, "index -1 is outside a list of 2"},
		{"join of no list", `{"Fn::Join":["","a"]}`, "want a list to join"},
		{"too few arguments", `{"Fn::Split":["/"]}`, "want a list of 2"},
		{"resource left out by its condition", `{"Ref":"Rare"}`, "left out by its condition IsProd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := resolve(t, twoStacks(tc.value))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v\nwant it to say %q", err, tc.want)
			}
		})
	}
}

func TestUnknownTypesAreAllReported(t *testing.T) {
	_, err := resolve(t, map[string]string{"App": `{"Resources":{"A":{"Type":"AWS::Foo::Bar"},"B":{"Type":"AWS::Foo::Thing"},"C":{"Type":"AWS::SQS::Queue"}}}`})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"stack App, resource A (AWS::Foo::Bar): the local runtime does not know resource type AWS::Foo::Bar",
		"stack App, resource B (AWS::Foo::Thing): the local runtime does not know resource type AWS::Foo::Thing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v\nwant it to say %q", err, want)
		}
	}
}

func TestMalformedTemplates(t *testing.T) {
	for _, tc := range []struct{ name, template, want string }{
		{"unknown section", `{"Resources":{},"Transform":"AWS::Serverless"}`, `unknown field "Transform"`},
		{"unknown resource member", `{"Resources":{"A":{"Type":"AWS::SQS::Queue","Colour":1}}}`, `unknown field "Colour"`},
		{"a rule of its own", `{"Resources":{},"Rules":{"Mine":{}}}`, "rule Mine"},
		{"no type", `{"Resources":{"A":{}}}`, "resource A has no Type"},
		{"not JSON", `{`, "decode App.template.json"},
		{"names in a circle", `{"Resources":{"A":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":{"Ref":"B"}}},"B":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":{"Ref":"A"}}}}}`, "refers to itself"},
		{"conditions in a circle", `{"Conditions":{"A":{"Condition":"B"},"B":{"Condition":"A"}},"Resources":{"Q":{"Type":"AWS::SQS::Queue","Condition":"A"}}}`, "refers to itself"},
		{"exports in a circle", `{"Resources":{},"Outputs":{"O":{"Value":{"Fn::ImportValue":"n"},"Export":{"Name":"n"}}}}`, "refers to itself"},
		{"output of nothing", `{"Resources":{},"Outputs":{"O":{"Value":{"Ref":"Gone"}}}}`, "stack App, output O: Ref: Gone"},
		{"asset of nobody", `{"Resources":{"F":{"Type":"AWS::Lambda::Function","Properties":{"Code":{"S3Key":"abc.zip"}}}}}`, "code asset abc.zip is in no asset manifest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := resolve(t, map[string]string{"App": tc.template})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v\nwant it to say %q", err, tc.want)
			}
		})
	}
}

func TestMalformedManifests(t *testing.T) {
	for _, tc := range []struct{ name, manifest, want string }{
		{"missing context", `{"missing":[{"key":"vpc-1","provider":"vpc-provider"}],"artifacts":{}}`, "asks vpc-provider for vpc-1"},
		{"unknown artifact", `{"artifacts":{"X":{"type":"aws:mystery"}}}`, "artifact X has the unknown type aws:mystery"},
		{"no stack", `{"artifacts":{}}`, "holds no stack"},
		{"missing template", `{"artifacts":{"S":{"type":"aws:cloudformation:stack","environment":"aws://a/b","properties":{"templateFile":"S.json"}}}}`, "S.json is missing; run the synthesis again"},
		{"no environment", `{"artifacts":{"S":{"type":"aws:cloudformation:stack","properties":{"templateFile":"S.json"}}}}`, "not of the form aws://account/region"},
		{"dependency on nothing", `{"artifacts":{"S":{"type":"cdk:asset-manifest","dependencies":["T"],"properties":{"file":"a.json"}}}}`, "artifact T is depended on but missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "manifest.json", tc.manifest)
			_, err := assembly.Load(dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v\nwant it to say %q", err, tc.want)
			}
		})
	}
	if _, err := assembly.Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "manifest.json is missing") {
		t.Errorf("empty directory: err = %v", err)
	}
}

func TestStacksOfOneEnvironmentOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "A.json", `{"Resources":{}}`)
	write(t, dir, "manifest.json", `{"artifacts":{
		"A":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/eu-west-1","properties":{"templateFile":"A.json"}},
		"B":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/us-east-1","properties":{"templateFile":"A.json"}}}}`)
	if _, err := assembly.Load(dir); err == nil || !strings.Contains(err.Error(), "eu-west-1") {
		t.Errorf("err = %v, want one that names the regions", err)
	}
}

func TestStagesAreNestedAssemblies(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "assembly-dev")
	if err := os.Mkdir(nested, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "manifest.json", `{"artifacts":{"assembly-dev":{"type":"cdk:cloud-assembly","properties":{"directoryName":"assembly-dev"}}}}`)
	writeAssembly(t, nested, map[string]string{"dev-App": `{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}`})
	a, err := assembly.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dev-App"}, a.Stacks()); diff != "" {
		t.Error(diff)
	}
}

// TestGeneratedNames: whatever the logical ids, names are unique by type,
// within the service's limit, and a bucket's are lower case.
func TestGeneratedNames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z][a-zA-Z]{0,70}([0-9A-F]{8})?`), 1, 12, strings.ToLower).Draw(rt, "ids")
		var decls []string
		for _, id := range ids {
			decls = append(decls, fmt.Sprintf(`%q:{"Type":"AWS::S3::Bucket"}`, id))
		}
		resources, err := resolve(t, map[string]string{"App": `{"Resources":{` + strings.Join(decls, ",") + `}}`})
		if err != nil {
			rt.Fatal(err)
		}
		seen := map[string]string{}
		for _, r := range resources {
			if other, ok := seen[r.Name]; ok {
				rt.Errorf("%s and %s are both called %s", r.LogicalID, other, r.Name)
			}
			seen[r.Name] = r.LogicalID
			if len(r.Name) > 63 || r.Name != strings.ToLower(r.Name) {
				rt.Errorf("%q is no bucket's name", r.Name)
			}
		}
	})
}

func FuzzResolve(f *testing.F) {
	f.Add(`{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":{"Fn::Sub":"${AWS::Region}"}}}}}`)
	f.Add(`{"Conditions":{"C":{"Fn::Not":[{"Condition":"C"}]}},"Resources":{"Q":{"Type":"AWS::SQS::Queue","Condition":"C"}}}`)
	f.Add(`{"Outputs":{"O":{"Value":{"Fn::Select":["0",[]]},"Export":{"Name":null}}}}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, template string) {
		writeAssembly(t, dir, map[string]string{"App": template})
		a, err := assembly.Load(dir)
		if err != nil {
			return
		}
		resources, err := a.Resolve(environment())
		if err == nil && leftovers(resources) != "" {
			t.Errorf("an intrinsic is left in %s", leftovers(resources))
		}
	})
}

// twoStacks is an app whose second stack holds value as a property of Subject.
func twoStacks(value string) map[string]string {
	return map[string]string{
		"Base": `{"Parameters":{"Stage":{"Type":"String","Default":"dev"}},
			"Resources":{"Source":{"Type":"AWS::SQS::Queue"}},
			"Outputs":{"Out":{"Value":{"Fn::GetAtt":["Source","Arn"]},"Export":{"Name":{"Fn::Sub":"Base:${Stage}"}}}}}`,
		"App": `{"Parameters":{"Stage":{"Type":"String","Default":"dev"},"Days":{"Type":"Number","Default":30},
				"Zones":{"Type":"CommaDelimitedList","Default":"a, b"},"Asked":{"Type":"String"},
				"FromSSM":{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/a/b"},
				"BootstrapVersion":{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/cdk-bootstrap/x/version"}},
			"Rules":{"CheckBootstrapVersion":{"Assertions":[]}},
			"Mappings":{"Sizes":{"dev":{"memory":512}}},
			"Conditions":{"IsDev":{"Fn::Equals":[{"Ref":"Stage"},"dev"]},"IsProd":{"Fn::Equals":[{"Ref":"Stage"},"prod"]}},
			"Resources":{"Queue":{"Type":"AWS::SQS::Queue"},"Rare":{"Type":"AWS::SQS::Queue","Condition":"IsProd"},
				"Subject":{"Type":"AWS::CloudWatch::Dashboard","Properties":{"DashboardBody":` + value + `}}}}`,
	}
}

func resolve(t *testing.T, templates map[string]string) ([]assembly.Resource, error) {
	t.Helper()
	dir := t.TempDir()
	writeAssembly(t, dir, templates)
	a, err := assembly.Load(dir)
	if err != nil {
		return nil, err
	}
	return a.Resolve(environment())
}

func writeAssembly(t *testing.T, dir string, templates map[string]string) {
	t.Helper()
	var artifacts []string
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		write(t, dir, name+".template.json", templates[name])
		artifacts = append(artifacts, fmt.Sprintf(`%q:{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/unknown-region","properties":{"templateFile":"%s.template.json"}}`, name, name))
	}
	write(t, dir, "manifest.json", `{"artifacts":{`+strings.Join(artifacts, ",")+`}}`)
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, resources []assembly.Resource, id string) assembly.Resource {
	t.Helper()
	i := slices.IndexFunc(resources, func(r assembly.Resource) bool { return r.LogicalID == id })
	if i < 0 {
		t.Fatalf("no resource %s", id)
	}
	return resources[i]
}

// leftovers names a resource in whose properties an intrinsic stands.
func leftovers(resources []assembly.Resource) string {
	var within func(v any) bool
	within = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if len(v) == 1 && (k == "Ref" || strings.HasPrefix(k, "Fn::")) || within(e) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, within)
		}
		return false
	}
	for _, r := range resources {
		if within(r.Properties) {
			return r.LogicalID
		}
	}
	return ""
}
