package stacks

import (
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/google/go-cmp/cmp"
)

func TestSettingsWithoutContextAreThoseOfDevelopment(t *testing.T) {
	got, err := ReadSettings(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Stage: Dev, Region: "us-east-1", LogLevel: "info",
		Origins:      []string{"http://localhost:3000", "http://127.0.0.1:3000"},
		CallbackURLs: []string{"http://localhost:3000"}, LogoutURLs: []string{"http://localhost:3000"},
		KeepNoncurrent: 1, ArchiveDays: 7, LogRetentionDays: 7,
		APIRate: 1000, APIBurst: 2000, IngestConcurrency: 20,
		Scanning: ScanningSettings{Scanner: "none", ClamdMaxMiB: 100},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Stage.RemovalPolicy() != awscdk.RemovalPolicy_DESTROY || got.Retention() != awslogs.RetentionDays_ONE_WEEK {
		t.Errorf("removal %s, retention %s", got.Stage.RemovalPolicy(), got.Retention())
	}
}

func TestSettingsOfProduction(t *testing.T) {
	got, err := ReadSettings(map[string]any{
		"stage": "prod", "region": "eu-central-1", "origins": []any{"https://a.example.com", "https://b.example.com:8443"},
		"apiRate": float64(50), "apiBurst": "100", "alarmEmail": "ops@example.com",
		"issuer": "https://login.example.com/", "audience": "one, two",
	}, "us-west-2")
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Stage: Prod, Region: "eu-central-1", LogLevel: "info",
		Origins:      []string{"https://a.example.com", "https://b.example.com:8443"},
		CallbackURLs: []string{"http://localhost:3000"}, LogoutURLs: []string{"http://localhost:3000"},
		Issuer: "https://login.example.com/", Audience: []string{"one", "two"},
		KeepNoncurrent: 30, ArchiveDays: 365, LogRetentionDays: 90,
		APIRate: 50, APIBurst: 100, IngestConcurrency: 20, AlarmEmail: "ops@example.com",
		Scanning: ScanningSettings{Scanner: "none", ClamdMaxMiB: 100},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Stage.RemovalPolicy() != awscdk.RemovalPolicy_RETAIN {
		t.Errorf("removal %s", got.Stage.RemovalPolicy())
	}
}

func TestRegionComesFromContextThenEnvironmentThenDefault(t *testing.T) {
	for _, c := range []struct {
		context     map[string]any
		environment string
		want        string
	}{
		{map[string]any{"region": "eu-west-1"}, "eu-west-2", "eu-west-1"},
		{nil, "eu-west-2", "eu-west-2"},
		{nil, "", "us-east-1"},
	} {
		got, err := ReadSettings(c.context, c.environment)
		if err != nil || got.Region != c.want {
			t.Errorf("%v, %q: got %q, %v; want %q", c.context, c.environment, got.Region, err, c.want)
		}
	}
}

func TestWrongSettingsNameTheValueAndTheRemedy(t *testing.T) {
	for _, c := range []struct {
		key   string
		value any
		want  string // "" when the value is right
	}{
		{"stage", "production", `context stage is "production": set it to one of dev, prod`},
		{"region", "Frankfurt", `context region is "Frankfurt": set it to a region, such as us-east-1`},
		{"region", "us-gov-west-1", ""},
		{"logLevel", "trace", "set it to one of debug, info, warn"},
		{"origins", "https://app.example.com/", "without a path"},
		{"origins", "*", "without *"},
		{"origins", "https://*.example.com", "without *"},
		{"callbackUrls", "http://app.example.com", "http is allowed for localhost alone"},
		{"callbackUrls", "https://app.example.com/back,http://localhost:5173/back", ""},
		{"issuer", "http://login.example.com", "the https URL"},
		{"issuer", "https://login.example.com", "set issuer and audience together"},
		{"audience", "stowage", "set issuer and audience together"},
		{"alarmEmail", "ops", "an e-mail address"},
		{"keepNoncurrentDays", "0", "a whole number from 1 to 3650"},
		{"keepNoncurrentDays", "1", ""},
		{"keepNoncurrentDays", "3650", ""},
		{"keepNoncurrentDays", "3651", "a whole number from 1 to 3650"},
		{"archiveDays", "ten", "a whole number"},
		{"apiRate", "0", "from 1 to 10000"},
		{"apiRate", float64(10000), ""},
		{"apiRate", float64(10001), "from 1 to 10000"},
		{"apiRate", 1.5, "a whole number"},
		{"apiBurst", "5001", "from 1 to 5000"},
		{"ingestConcurrency", "1", "from 2 to 1000"},
		{"ingestConcurrency", "2", ""},
		{"ingestConcurrency", "1000", ""},
		{"ingestConcurrency", "1001", "from 2 to 1000"},
		{"logRetentionDays", "8", "set it to one of 1, 3, 5, 7"},
		{"logRetentionDays", "3653", ""},
		{"satge", "prod", "context satge is not a setting: write stage"},
		{"alarmemail", "a@b.c", "context alarmemail is not a setting: write alarmEmail"},
		{"orgins", "https://a.example.com", "write origins"},
		{"@aws-cdk/core:newStyleStackSynthesis", true, ""},
		{"somebody-elses", "value", ""},
	} {
		_, err := ReadSettings(map[string]any{c.key: c.value}, "")
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s=%v: %v", c.key, c.value, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s=%v: got %v, want %q", c.key, c.value, err, c.want)
		}
	}
}

func TestEveryWrongSettingIsNamedAtOnce(t *testing.T) {
	_, err := ReadSettings(map[string]any{"stage": "test", "apiRate": "many", "region": "here"}, "")
	for _, want := range []string{"stage", "apiRate", "region"} {
		if err == nil || !strings.Contains(err.Error(), "context "+want+" is") {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
}

func TestDistanceCountsLetters(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"stage", "stage", 0}, {"stage", "", 5}, {"stage", "stages", 1}, {"satge", "stage", 2}, {"origin", "region", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%s to %s: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
