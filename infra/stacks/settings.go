package stacks

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
)

// Stage is one of the deployments of the app.
type Stage string

// The stages. Production keeps what holds state when a stack is deleted, and
// refuses to have it deleted; development leaves nothing behind that is empty.
const (
	Dev  Stage = "dev"
	Prod Stage = "prod"
)

// RemovalPolicy of what holds state.
func (s Stage) RemovalPolicy() awscdk.RemovalPolicy {
	if s == Prod {
		return awscdk.RemovalPolicy_RETAIN
	}
	return awscdk.RemovalPolicy_DESTROY
}

// Settings are what a deployment chooses, by context: cdk deploy -c name=value.
type Settings struct {
	Stage             Stage
	Region            string
	LogLevel          string
	Origins           []string // browsers' pages that may call the API and the bucket
	CallbackURLs      []string
	LogoutURLs        []string
	Issuer            string // empty: a Cognito user pool is made
	Audience          []string
	KeepNoncurrent    int // days
	ArchiveDays       int
	LogRetentionDays  int
	APIRate           int // requests a second
	APIBurst          int
	IngestConcurrency int
	AlarmEmail        string

	Scanning   ScanningSettings
	Relational *RelationalSettings // nil: the Relational stack is not deployed
}

// Names of the settings, as they stand in the context.
const (
	keyStage             = "stage"
	keyRegion            = "region"
	keyLogLevel          = "logLevel"
	keyOrigins           = "origins"
	keyCallbackURLs      = "callbackUrls"
	keyLogoutURLs        = "logoutUrls"
	keyIssuer            = "issuer"
	keyAudience          = "audience"
	keyKeepNoncurrent    = "keepNoncurrentDays"
	keyArchiveDays       = "archiveDays"
	keyLogRetentionDays  = "logRetentionDays"
	keyAPIRate           = "apiRate"
	keyAPIBurst          = "apiBurst"
	keyIngestConcurrency = "ingestConcurrency"
	keyAlarmEmail        = "alarmEmail"
)

var (
	regionPattern = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d$`)
	originPattern = regexp.MustCompile(`^https?://[^/\s*]+$`)
	emailPattern  = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

// ReadSettings reads the settings from a context. An error names every
// setting that is wrong, what it holds and what it may hold. defaultRegion is
// taken when the context names none, and us-east-1 when that is empty too.
func ReadSettings(context map[string]any, defaultRegion string) (Settings, error) {
	r := reader{context: context}
	stage := Stage(r.oneOf(keyStage, string(Dev), string(Dev), string(Prod)))
	if defaultRegion == "" {
		defaultRegion = "us-east-1"
	}
	defaultOrigins, keep, archive, retention := "", 30, 365, 90
	if stage == Dev {
		defaultOrigins, keep, archive, retention = "http://localhost:3000,http://127.0.0.1:3000", 1, 7, 7
	}
	s := Settings{
		Stage:             stage,
		Region:            r.match(keyRegion, defaultRegion, regionPattern, "a region, such as us-east-1"),
		LogLevel:          r.oneOf(keyLogLevel, "info", "debug", "info", "warn"),
		Origins:           r.list(keyOrigins, defaultOrigins, originPattern, "origins such as https://app.example.com, without a path and without *"),
		CallbackURLs:      r.urls(keyCallbackURLs),
		LogoutURLs:        r.urls(keyLogoutURLs),
		Issuer:            r.match(keyIssuer, "", regexp.MustCompile(`^https://\S+$`), "the https URL of an OpenID Connect issuer"),
		Audience:          r.list(keyAudience, "", regexp.MustCompile(`^\S+$`), "client ids or audiences"),
		KeepNoncurrent:    r.number(keyKeepNoncurrent, keep, 1, 3650),
		ArchiveDays:       r.number(keyArchiveDays, archive, 1, 3650),
		LogRetentionDays:  r.number(keyLogRetentionDays, retention, 1, 3653),
		APIRate:           r.number(keyAPIRate, 1000, 1, 10000),
		APIBurst:          r.number(keyAPIBurst, 2000, 1, 5000),
		IngestConcurrency: r.number(keyIngestConcurrency, 20, 2, 1000),
		AlarmEmail:        r.match(keyAlarmEmail, "", emailPattern, "an e-mail address"),
	}
	s.Scanning = r.scanning()
	s.Relational = r.relational(stage)
	r.retention(s.LogRetentionDays)
	if (s.Issuer == "") != (len(s.Audience) == 0) {
		r.refuse(keyIssuer, s.Issuer, fmt.Sprintf("set %s and %s together, or neither to have a Cognito user pool", keyIssuer, keyAudience))
	}
	r.misspelt()
	return s, errors.Join(r.errs...)
}

// reader takes settings out of a context and gathers what is wrong with them.
type reader struct {
	context map[string]any
	errs    []error
}

func (r *reader) refuse(key, value, remedy string) {
	r.errs = append(r.errs, fmt.Errorf("context %s is %q: %s", key, value, remedy))
}

// text is the value of key as -c or a JSON file may give it.
func (r *reader) text(key, fallback string) string {
	switch value := r.context[key].(type) {
	case nil:
		return fallback
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		items := make([]string, 0, len(value))
		for _, item := range value {
			items = append(items, fmt.Sprint(item))
		}
		return strings.Join(items, ",")
	default:
		return fmt.Sprint(value)
	}
}

func (r *reader) oneOf(key, fallback string, allowed ...string) string {
	value := r.text(key, fallback)
	for _, a := range allowed {
		if value == a {
			return value
		}
	}
	r.refuse(key, value, "set it to one of "+strings.Join(allowed, ", "))
	return fallback
}

// match is the value of key; an empty one is left to be what the fallback is.
func (r *reader) match(key, fallback string, pattern *regexp.Regexp, want string) string {
	value := r.text(key, fallback)
	if value == fallback || pattern.MatchString(value) {
		return value
	}
	r.refuse(key, value, "set it to "+want)
	return fallback
}

// list is the comma-separated value of key.
func (r *reader) list(key, fallback string, pattern *regexp.Regexp, want string) []string {
	value := r.text(key, fallback)
	if value == "" {
		return nil
	}
	items := strings.Split(value, ",")
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
		if !pattern.MatchString(items[i]) {
			r.refuse(key, items[i], "set it to a comma-separated list of "+want)
		}
	}
	return items
}

// urls is the list of places that Cognito may send a browser to.
func (r *reader) urls(key string) []string {
	return r.list(key, "http://localhost:3000", regexp.MustCompile(`^(https://\S+|http://localhost(:\d+)?(/\S*)?)$`),
		"https URLs (http is allowed for localhost alone)")
}

func (r *reader) number(key string, fallback, low, high int) int {
	value := r.text(key, strconv.Itoa(fallback))
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		r.refuse(key, value, fmt.Sprintf("set it to a whole number from %d to %d", low, high))
		return fallback
	}
	return n
}

// retention refuses what CloudWatch Logs does not offer.
func (r *reader) retention(days int) {
	if _, ok := retentions()[days]; !ok {
		r.refuse(keyLogRetentionDays, strconv.Itoa(days),
			"set it to one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653")
	}
}

// Retention is how long logs are kept.
func (s Settings) Retention() awslogs.RetentionDays { return retentions()[s.LogRetentionDays] }

// retentions are the periods that CloudWatch Logs offers, by days.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
func retentions() map[int]awslogs.RetentionDays {
	return map[int]awslogs.RetentionDays{
		1: awslogs.RetentionDays_ONE_DAY, 3: awslogs.RetentionDays_THREE_DAYS, 5: awslogs.RetentionDays_FIVE_DAYS,
		7: awslogs.RetentionDays_ONE_WEEK, 14: awslogs.RetentionDays_TWO_WEEKS, 30: awslogs.RetentionDays_ONE_MONTH,
		60: awslogs.RetentionDays_TWO_MONTHS, 90: awslogs.RetentionDays_THREE_MONTHS, 120: awslogs.RetentionDays_FOUR_MONTHS,
		150: awslogs.RetentionDays_FIVE_MONTHS, 180: awslogs.RetentionDays_SIX_MONTHS, 365: awslogs.RetentionDays_ONE_YEAR,
		400: awslogs.RetentionDays_THIRTEEN_MONTHS, 545: awslogs.RetentionDays_EIGHTEEN_MONTHS, 731: awslogs.RetentionDays_TWO_YEARS,
		1096: awslogs.RetentionDays_THREE_YEARS, 1827: awslogs.RetentionDays_FIVE_YEARS, 2192: awslogs.RetentionDays_SIX_YEARS,
		2557: awslogs.RetentionDays_SEVEN_YEARS, 2922: awslogs.RetentionDays_EIGHT_YEARS, 3288: awslogs.RetentionDays_NINE_YEARS,
		3653: awslogs.RetentionDays_TEN_YEARS,
	}
}
